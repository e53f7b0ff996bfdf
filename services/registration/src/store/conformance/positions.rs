//! What is read at a position stays as it is.

use mesh_authz::Role;
use mesh_follow::SnapshotPages as _;
use mesh_store::sql::query;
use mesh_types::{Mpxn, Timestamp};
use tokio_util::sync::CancellationToken;

use super::world::{World, at, device, entity, head, id, mpan, open, party, put, registered};
use super::{Checked, Database};
use crate::device::{Device, DeviceType, SiteException, SmetsVersion, SmiStatus};
use crate::present::Present;
use crate::store::command::Row;
use crate::store::read::Page;
use crate::store::{DevicePages, PartyPages};

pub(in super::super) async fn rows_hold_between_their_positions(database: &Database) -> Checked {
    let world = World::start(database).await?;
    let esme = device(1, DeviceType::Esme);
    let before = head(&world).await.sequence;
    let mut expected = vec![(before, None)];
    for status in [
        SmiStatus::Pending,
        SmiStatus::Commissioned,
        SmiStatus::Suspended,
    ] {
        let changed = Device {
            status: Some(status),
            ..esme.clone()
        };
        world.load(vec![put(changed.clone())]).await;
        expected.push((head(&world).await.sequence, Some(changed)));
    }
    for (at, expected) in expected {
        let found = world.inventory.device(id(1), at).await?;
        let since = found.as_ref().map(|found| found.since);
        assert_eq!(found.map(|found| found.value), expected, "at {at}");
        assert_eq!(
            since,
            expected.is_some().then_some(at),
            "the etag is the event"
        );
    }
    let parties = world.inventory.parties_head().await?.sequence;
    assert_eq!(parties, 3);
    for (at, there) in [(0, 0), (1, 1), (3, 3)] {
        let page = Page {
            at,
            after: None,
            limit: 10,
        };
        assert_eq!(world.inventory.party_page(page).await?.len(), there);
    }
    world.stop().await;
    Ok(())
}

pub(in super::super) async fn every_field_is_read_back(database: &Database) -> Checked {
    let world = World::start(database).await?;
    let exceptions = [
        SiteException::Economy7OrSimilar,
        SiteException::RadioTeleswitch,
        SiteException::NetworkManagedWithoutWan,
    ];
    let esme = Device {
        hub: Some(id(9)),
        smets_version: Some(SmetsVersion { major: 5, minor: 4 }),
        status: Some(SmiStatus::Recovery),
        status_since: Some(Timestamp::from_micros(1_234_567)),
        secondary_import_mpan: Some(mpan(60)),
        export_mpan: Some(mpan(61)),
        site_exceptions: exceptions.into(),
        ..device(1, DeviceType::Esme)
    };
    let gsme = Device {
        hub: Some(id(9)),
        gpf: Some(id(3)),
        site_exceptions: [SiteException::RadioTeleswitch].into(),
        ..device(2, DeviceType::Gsme)
    };
    let display = Device {
        status: None,
        status_since: None,
        ..device(4, DeviceType::Ihd)
    };
    let hub = Device {
        csp: Some("4g".parse()?),
        ..device(9, DeviceType::Chf)
    };
    let all = [hub, device(3, DeviceType::Gpf), esme, gsme, display];
    world.load(all.clone().map(put).into()).await;
    let at = head(&world).await.sequence;
    for device in all {
        let found = world.inventory.device(device.id, at).await?;
        assert_eq!(found.map(|found| found.value), Some(device));
    }
    let mut gateway = party("GATE", 70, Role::Gateway);
    gateway
        .identities
        .insert(entity(71), [Role::Csp, Role::OtherUser].into());
    gateway.csp = Some("south".parse()?);
    gateway.acts_for = ["A".parse()?, "B".parse()?].into();
    world.load(vec![Row::Party(gateway.clone())]).await;
    let at = world.inventory.parties_head().await?.sequence;
    let found = world.inventory.party(&gateway.id, at).await?;
    assert_eq!(found.map(|found| found.value), Some(gateway));
    world.stop().await;
    Ok(())
}

pub(in super::super) async fn lists_show_one_position_while_records_change(
    database: &Database,
) -> Checked {
    let world = World::start(database).await?;
    let hubs = [1, 2].map(|n| put(device(n, DeviceType::Chf)));
    world.load(hubs.into()).await;
    let on = |n: u64, hub: u64| Device {
        hub: Some(id(hub)),
        ..device(n, DeviceType::Ppmid)
    };
    world.load((10..20).map(|n| put(on(n, 1))).collect()).await;
    let shown = head(&world).await.sequence;
    let mut seen = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = Page {
            at: shown,
            after: after.as_deref(),
            limit: 3,
        };
        let found = world.inventory.device_page(Some(id(1)), page).await?;
        let Some(last) = found.last() else { break };
        after = Some(last.value.id.to_string());
        seen.extend(found.iter().map(|found| found.value.id));
        // Between the pages one Device leaves the hub and another one comes.
        let n = 10 + u64::try_from(seen.len())?;
        let _ = world
            .import(vec![put(on(n.min(19), 2)), put(on(n + 100, 1))])
            .await;
    }
    assert_eq!(seen, (10..20).map(id).collect::<Vec<_>>());
    world.stop().await;
    Ok(())
}

pub(in super::super) async fn snapshots_show_who_was_responsible_at_their_position(
    database: &Database,
) -> Checked {
    let world = World::start(database).await?;
    let many = 1_203;
    let on_hub = |n| Device {
        hub: Some(id(1)),
        ..device(n, DeviceType::Esme)
    };
    world.load(vec![put(device(1, DeviceType::Chf))]).await;
    world
        .load((2..=many).map(|n| put(on_hub(n))).collect())
        .await;
    let point = Mpxn::Mpan(mpan(700));
    world.load(vec![registered(point, "A", 0, None)]).await;
    let shown = head(&world).await.sequence;
    world.change(point, "B", Some(1_000)).await?;
    world.clock.set(at(2_000));

    let pages = DevicePages(world.inventory.clone());
    let mut found = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = pages.page(shown, after.as_deref()).await?;
        assert_eq!(page.items, page.part.devices.len() as u64);
        found.extend(page.part.devices);
        after = page.next_key;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(found.len() as u64, many);
    for (n, state) in (1..).zip(&found) {
        let device = state.device.as_ref().unwrap();
        assert_eq!(device.device_id, id(n).to_string());
        assert_eq!(state.csp_id, if n == 1 { "" } else { "north" });
        assert_eq!(state.responsible_party_id, if n == 700 { "A" } else { "" });
    }
    let now = head(&world).await.sequence;
    let page = pages.page(now, Some(&id(699).to_string())).await?;
    assert_eq!(page.part.devices[0].responsible_party_id, "B");
    let empty = pages.page(0, None).await?;
    assert_eq!((empty.items, empty.next_key), (0, None));

    let parties = PartyPages(world.inventory.clone()).page(2, None).await?;
    let ids: Vec<&str> = parties
        .part
        .parties
        .iter()
        .map(|p| p.party_id.as_str())
        .collect();
    assert_eq!(ids, ["A", "B"]);
    world.stop().await;
    Ok(())
}

pub(in super::super) async fn the_same_store_is_found_when_opened_again(
    database: &Database,
) -> Checked {
    let world = World::start(database).await?;
    let point = Mpxn::Mpan(mpan(1));
    world
        .load(vec![
            put(device(1, DeviceType::Esme)),
            registered(point, "A", 0, None),
        ])
        .await;
    let before = (head(&world).await, world.told().await?);
    world.stop().await;

    let again = World::open(database).await?;
    assert_eq!((head(&again).await, again.told().await?), before);
    assert_eq!(again.responsible(id(1), 1_000).await.as_deref(), Some("A"));
    for log in [
        &again.inventory.logs().parties,
        &again.inventory.logs().devices,
    ] {
        mesh_store::verify::verify(again.inventory.store().readers(), log).await??;
    }
    again.stop().await;
    Ok(())
}

/// Questions about the present are read together; what is wrong with one is no matter of the others.
pub(in super::super) async fn a_damaged_record_fails_its_own_question_alone(
    database: &Database,
) -> Checked {
    let world = World::start(database).await?;
    let hubs = [1, 2].map(|n| put(device(n, DeviceType::Chf)));
    world.load(hubs.into()).await;
    let mut tx = world.inventory.store().begin_write(at(1_000)).await?;
    query("UPDATE device SET device_type = 99 WHERE device_id = $1")
        .bind(id(2).to_string())
        .execute(tx.conn())
        .await?;
    tx.commit().await?;
    let stop = CancellationToken::new();
    let (present, answering) =
        Present::new(world.inventory.clone(), world.clock.clone(), stop.clone());
    let asking = async {
        let told = tokio::join!(
            present.ask(open(id(1))),
            present.ask(open(id(2))),
            present.ask(open(id(3)))
        );
        stop.cancel();
        told
    };
    // All wait before the first is read.
    let ((sound, damaged, unknown), ()) = tokio::join!(asking, answering);
    assert_eq!(sound?.1, head(&world).await);
    assert!(damaged.is_err());
    assert!(unknown?.0.party().is_none());
    world.stop().await;
    Ok(())
}
