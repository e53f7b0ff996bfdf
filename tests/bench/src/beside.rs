//! How long does a quiet supplier wait beside one that asks for all it can?

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use bytes::Bytes;
use http::uri::PathAndQuery;
use mesh_api::flag_registry::v1 as wire;
use mesh_api::flag_registry::v1::flag_service_client::FlagServiceClient;
use mesh_types::DeviceId;
use mp169::sample::{ALBION, CALEDONIA};
use mp169::service::Service;
use prost::Message as _;
use tokio::sync::watch;
use tonic::client::Grpc;
use tonic::transport::Channel;
use tonic::{Code, Request};

use crate::codec::Encoded;
use crate::town::Town;
use crate::turn::{Side, Turn, keep_in_flight};

const BATCH: &str = "/mp169.flag_registry.v1.FlagService/BatchGetFlags";
/// Ids in each request of the hog, if there are so many homes: as many as the contract allows.
const IDS: usize = 1_000;

/// One supplier that asks for one flag after another, alone or beside a hog.
pub(crate) struct Quiet<'t> {
    town: &'t Town,
    client: FlagServiceClient<Channel>,
    devices: Arc<[DeviceId]>,
    /// How many batches the hog keeps open; none if there is no hog.
    open: usize,
}

impl<'t> Quiet<'t> {
    pub(crate) fn beside(town: &'t Town, open: usize) -> Result<Self> {
        let mut channels = town.channels(Service::FlagRegistry, CALEDONIA.id)?;
        let channel = channels.pop().context("there is a channel")?;
        Ok(Self {
            town,
            client: FlagServiceClient::new(channel),
            devices: town.gas_meters_of_caledonia().into(),
            open,
        })
    }
}

impl Side for Quiet<'_> {
    async fn turn(&mut self, time: Duration) -> Result<Turn> {
        let hog = match self.open {
            0 => None,
            open => Some(Hog::start(self.town, open).await?),
        };
        let (client, devices) = (self.client.clone(), Arc::clone(&self.devices));
        let next = AtomicUsize::new(0);
        let next = Arc::new(next);
        let turn = keep_in_flight(1, time, move |_| {
            let number = next.fetch_add(1, Ordering::Relaxed) % devices.len();
            let (mut client, device) = (client.clone(), devices[number].to_string());
            async move {
                let request = wire::GetFlagRequest {
                    device_id: device.clone(),
                    ..wire::GetFlagRequest::default()
                };
                let answer = client.get_flag(request).await?.into_inner();
                let entry = answer.entry.context("the entry is missing")?;
                ensure!(entry.device_id == device, "asked of {device}: {entry:?}");
                Ok(ControlFlow::Continue(()))
            }
        })
        .await?;
        if let Some(hog) = hog {
            hog.stop()?;
        }
        Ok(turn)
    }
}

/// Another supplier that keeps batches open, on a thread of its own. Its request is encoded once and
/// its answers are not decoded: the time goes to the services.
struct Hog {
    stop: watch::Sender<bool>,
    thread: JoinHandle<Result<()>>,
}

impl Hog {
    /// Starts it, and waits until its first batch is answered: by then all of them are open.
    async fn start(town: &Town, open: usize) -> Result<Self> {
        let devices: Vec<_> = town.unflagged().into_iter().take(IDS).collect();
        let request = wire::BatchGetFlagsRequest {
            device_ids: devices.iter().map(ToString::to_string).collect(),
            ..wire::BatchGetFlagsRequest::default()
        };
        let request = Bytes::from(request.encode_to_vec());
        let endpoints = town.endpoint(Service::FlagRegistry, ALBION.id)?;
        let (stop, stopped) = watch::channel(false);
        let (answered, mut first) = watch::channel(0_usize);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                let channels: Vec<_> = (0..4).map(|_| endpoints.connect_lazy()).collect();
                let mut calls = tokio::task::JoinSet::new();
                for number in 0..open {
                    let channel = channels[number % channels.len()].clone();
                    calls.spawn(keep_asking(
                        channel,
                        request.clone(),
                        answered.clone(),
                        stopped.clone(),
                    ));
                }
                while let Some(ended) = calls.join_next().await {
                    ended??;
                }
                Ok(())
            })
        });
        let started = first.wait_for(|answers| *answers > 0).await;
        started.context("the hog ended before it had an answer")?;
        Ok(Self { stop, thread })
    }

    fn stop(self) -> Result<()> {
        self.stop.send(true)?;
        let ended = self.thread.join();
        ended.map_err(|_| anyhow!("the hog panicked"))?
    }
}

/// Asks again as soon as it is answered or shed, until told to stop.
async fn keep_asking(
    channel: Channel,
    request: Bytes,
    answered: watch::Sender<usize>,
    mut stopped: watch::Receiver<bool>,
) -> Result<()> {
    let mut grpc = Grpc::new(channel);
    let path = PathAndQuery::from_static(BATCH);
    loop {
        grpc.ready().await?;
        let call = grpc.unary(Request::new(request.clone()), path.clone(), Encoded);
        let answer = tokio::select! {
            answer = call => answer,
            stopped = stopped.wait_for(|stop| *stop) => {
                stopped?;
                return Ok(());
            }
        };
        match answer.map_err(|status| (status.code(), status)) {
            Ok(_) => answered.send_modify(|answers| *answers += 1),
            // The server has had enough of it: that is one way to be fair to the other.
            Err((Code::ResourceExhausted | Code::DeadlineExceeded, _)) => {
                tokio::task::yield_now().await;
            }
            Err((_, status)) => return Err(status.into()),
        }
    }
}
