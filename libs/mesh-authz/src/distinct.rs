//! Does a batch name each Device once?
//!
//! Of a list of Devices the whole is refused if not: it is one question. Of a list of requests each
//! stands for itself, and the later of two about one Device is refused: which of them is meant, its
//! caller has to say.
//!
//! A Device that is named a thousand times would be one question and a thousand answers: more work
//! than its caller pays for, and a way to make what one answer takes large enough to be timed. So no
//! Device is named twice, in whatever notation, and the refusal says where it was.

use std::collections::HashMap;

use mesh_api::convert::FieldErrors;
use mesh_types::DeviceId;

use crate::Refusal;
use crate::extract::FieldPath;

/// Refuses each of a list of requests whose Device one before it has; `field` is the path of the
/// Device from the whole on.
pub(crate) fn first_of_each(
    field: &FieldPath,
    devices: Vec<Result<DeviceId, Refusal>>,
) -> Vec<Result<DeviceId, Refusal>> {
    let Some((list, field)) = field.in_items() else {
        return devices;
    };
    let mut first_at = HashMap::new();
    let judge = |(place, device): (usize, Result<DeviceId, Refusal>)| {
        let device = device?;
        let first = *first_at.entry(device).or_insert(place);
        if first == place {
            return Ok(device);
        }
        Err(Refusal::NamedBefore {
            field: field.to_owned(),
            problem: format!("is the Device of {list}[{first}]"),
        })
    };
    devices.into_iter().enumerate().map(judge).collect()
}

/// Refuses a batch whose `field` names a Device twice. What is no Device, `None`, is not judged here.
pub fn each_once<'d>(
    field: &str,
    devices: impl IntoIterator<Item = Option<&'d DeviceId>>,
) -> Result<(), Refusal> {
    let mut first_at = HashMap::new();
    let mut again = Vec::new();
    for (place, device) in devices.into_iter().enumerate() {
        let Some(device) = device else { continue };
        let first = *first_at.entry(device).or_insert(place);
        if first < place && again.len() < FieldErrors::MOST {
            again.push((first, place));
        }
    }
    if again.is_empty() {
        return Ok(());
    }
    Err(Refusal::NamedTwice {
        field: field.to_owned(),
        places: again,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_places_of_a_device_are_told() {
        let devices = ["00-DB-12-34-56-78-90-A0", "00-db-12-34-56-78-90-a0"];
        let devices = devices.map(|text| text.parse::<DeviceId>().unwrap());
        let other = "00-DB-12-34-56-78-90-A1".parse().unwrap();
        let once = [Some(&devices[0]), None, Some(&other), None];
        assert_eq!(each_once("ids", once), Ok(()));
        let twice = once.into_iter().chain([Some(&devices[1]), Some(&other)]);
        let refusal = each_once("ids", twice).unwrap_err();
        let told = Refusal::NamedTwice {
            field: "ids".into(),
            places: vec![(0, 4), (2, 5)],
        };
        assert_eq!(refusal, told);
        let hog = each_once("ids", [Some(&other); 1_000]).unwrap_err();
        let Refusal::NamedTwice { places, .. } = hog else {
            panic!("{hog}");
        };
        assert_eq!(places.len(), FieldErrors::MOST);
    }
}
