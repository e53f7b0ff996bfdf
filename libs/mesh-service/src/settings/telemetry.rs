//! What can be set of logs, spans and metrics?

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Args, ValueEnum};
use mesh_rpc::{LogFormat, TelemetryOptions};

/// Where logs, spans and metrics of a service go, and which.
#[derive(Debug, Clone, Args)]
pub struct TelemetrySettings {
    /// Where logs, spans and metrics go (OTLP over gRPC), such as `http://127.0.0.1:4317`. Logs go to
    /// standard error besides; the others nowhere if this is not given.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT")]
    pub otlp_endpoint: Option<String>,
    /// Which events are logged, such as `info` or `mesh_rpc=debug`.
    #[arg(long, env = "MP169_LOG", default_value = "info", value_parser = super::values::log_filter)]
    pub log: String,
    /// How, and how often.
    #[command(flatten)]
    pub details: TelemetryDetails,
}

/// How logs look, which traces are kept, and how metrics are fetched and sent.
#[derive(Debug, Clone, Args)]
pub struct TelemetryDetails {
    /// How lines of the log look on standard error.
    #[arg(long, env = "MP169_LOG_FORMAT", value_enum, default_value = "text")]
    pub log_format: LogLines,
    /// The share of traces that is kept, from 0 (none) to 1 (all). A trace that another service of the
    /// mesh has begun is kept if that one keeps it.
    #[arg(
        long,
        env = "MP169_TRACE_SAMPLE_RATIO",
        value_name = "SHARE",
        default_value = "1",
        value_parser = share
    )]
    pub trace_sample_ratio: f64,
    /// How often metrics are sent to the OTLP endpoint, in seconds, from 1 to 3600.
    #[arg(
        long,
        env = "MP169_METRIC_INTERVAL",
        value_name = "SECONDS",
        default_value_t = 10,
        value_parser = clap::value_parser!(u32).range(1..=3600)
    )]
    pub metric_interval: u32,
    /// Where Prometheus may fetch metrics, `address:port`: `GET /metrics`, without TLS and for anybody
    /// who reaches it. Nowhere if not given.
    #[arg(long, env = "MP169_METRICS_LISTEN", value_name = "ADDRESS")]
    pub metrics_listen: Option<SocketAddr>,
}

/// How lines of a log look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogLines {
    /// Text.
    Text,
    /// One JSON object a line.
    Json,
}

impl From<LogLines> for LogFormat {
    fn from(lines: LogLines) -> Self {
        match lines {
            LogLines::Text => Self::Text,
            LogLines::Json => Self::Json,
        }
    }
}

impl TelemetrySettings {
    /// What to install in the process of `service`.
    #[must_use]
    pub fn options(&self, service: &str) -> TelemetryOptions {
        self.details
            .options(service, &self.log, self.otlp_endpoint.clone())
    }
}

impl TelemetryDetails {
    /// What to install in a process that logs `log`, in the syntax of `EnvFilter`, and sends all to an
    /// OTLP endpoint if there is one.
    #[must_use]
    pub fn options(
        &self,
        service: &str,
        log: &str,
        otlp_endpoint: Option<String>,
    ) -> TelemetryOptions {
        TelemetryOptions {
            filter: log.to_owned(),
            format: self.log_format.into(),
            otlp_endpoint,
            sample_ratio: self.trace_sample_ratio,
            metric_interval: Duration::from_secs(self.metric_interval.into()),
            metrics_listen: self.metrics_listen,
            ..TelemetryOptions::new(service)
        }
    }
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("a number from 0 to 1".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        telemetry: TelemetrySettings,
    }

    fn read(arguments: &[&str]) -> Result<TelemetryOptions, clap::Error> {
        let line = Line::try_parse_from([&["service"], arguments].concat())?;
        Ok(line.telemetry.options("flag-registry"))
    }

    #[test]
    fn nothing_is_sent_or_served_unless_it_is_asked_for() {
        let options = read(&[]).unwrap();
        assert_eq!(options, TelemetryOptions::new("flag-registry"));
        let options = read(&[
            "--log=debug",
            "--log-format=json",
            "--trace-sample-ratio=0.25",
            "--metric-interval=30",
            "--metrics-listen=127.0.0.1:9464",
        ]);
        let expected = TelemetryOptions {
            service: "flag-registry".to_owned(),
            filter: "debug".to_owned(),
            format: LogFormat::Json,
            otlp_endpoint: None,
            sample_ratio: 0.25,
            metric_interval: Duration::from_secs(30),
            metrics_listen: Some(([127, 0, 0, 1], 9464).into()),
        };
        assert_eq!(options.unwrap(), expected);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for argument in [
            "--trace-sample-ratio=1.5",
            "--trace-sample-ratio=-0.1",
            "--trace-sample-ratio=NaN",
            "--trace-sample-ratio=all",
            "--metric-interval=0",
            "--metric-interval=3601",
            "--log-format=xml",
            "--metrics-listen=9464",
        ] {
            assert!(read(&[argument]).is_err(), "{argument}");
        }
    }
}
