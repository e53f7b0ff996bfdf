//! The RPCs about editions of months.

use futures::stream;
use mesh_api::reporting::v1 as wire;
use mesh_authz::Authorization;
use tonic::Status;

use super::Reporting;
use crate::error::Error;
use crate::paging::{Pages, editions_filter};
use crate::{request, wire as encode};

/// Octets of a part of a content.
const OCTETS: usize = 64 << 10;

/// The parts of a content.
pub(super) type Parts =
    stream::Iter<std::vec::IntoIter<Result<wire::ExportEditionResponse, Status>>>;

impl Reporting {
    pub(super) async fn close(
        &self,
        request: &wire::CloseMonthRequest,
    ) -> Result<wire::CloseMonthResponse, Error> {
        let beginning = request::closing(request).map_err(Error::Fields)?;
        let edition = self.store.close_month(beginning).await??;
        Ok(wire::CloseMonthResponse {
            edition: Some(encode::edition(&edition)),
        })
    }

    pub(super) async fn editions(
        &self,
        authorization: &Authorization,
        request: &wire::ListEditionsRequest,
    ) -> Result<wire::ListEditionsResponse, Error> {
        let asked = request::editions(request).map_err(Error::Fields)?;
        let filter = editions_filter(&asked);
        let pages = Pages::new(self.store.tokens(), authorization, &filter);
        let after: Option<u64> = pages.open(&request.page_token)?;
        let mut editions = self.store.editions(asked.period).await?;
        editions.retain(|(edition, _)| after.is_none_or(|after| edition.number > after));
        let more = editions.len() > asked.size;
        editions.truncate(asked.size);
        let last = editions.last().map(|(edition, _)| edition.number);
        Ok(wire::ListEditionsResponse {
            next_page_token: pages.next(more, last.as_ref()),
            editions: editions
                .iter()
                .map(|(edition, later)| wire::ListedEdition {
                    edition: Some(encode::edition(edition)),
                    later_outcomes: *later,
                })
                .collect(),
        })
    }

    pub(super) async fn export(
        &self,
        request: &wire::ExportEditionRequest,
    ) -> Result<Parts, Error> {
        let (period, choice) = request::export(request).map_err(Error::Fields)?;
        let chosen = self.choose(period, choice).await?;
        let edition = chosen.edition.ok_or(Error::NoEdition)?;
        let text = self.store.edition_content(&edition).await?;
        let parts = text.as_bytes().chunks(OCTETS).enumerate();
        let parts = parts.map(|(at, octets)| {
            Ok(wire::ExportEditionResponse {
                edition: (at == 0).then(|| encode::edition(&edition)),
                content: octets.to_vec(),
            })
        });
        let parts: Vec<_> = parts.collect();
        Ok(stream::iter(parts))
    }
}
