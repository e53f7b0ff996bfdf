//! How is a database on a server had for oneself, so that no service writes to it meanwhile?

use std::time::{Duration, Instant};

use super::Server;
use crate::StoreError;
use crate::sql::{Conn, LOCK_WRITERS_OUT, query_scalar};

/// How long those who are about to leave are waited for: a connection that was closed is gone a moment later.
const LEAVING: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(50);

impl Server {
    /// A connection to the database while nobody else is connected to it, whoever that is: an open store always
    /// is. For as long as it is open no store begins to write.
    pub(crate) async fn alone(&self) -> Result<Conn, StoreError> {
        let mut conn = self.connect().await?;
        let patience = Instant::now() + LEAVING;
        loop {
            // Those of the server itself have no user.
            let others: Vec<String> = query_scalar(
                "SELECT DISTINCT COALESCE(NULLIF(application_name, ''), usename, 'somebody')::text \
                 FROM pg_stat_activity WHERE datname = current_database() \
                 AND pid <> pg_backend_pid() AND usesysid IS NOT NULL ORDER BY 1",
            )
            .fetch_all(&mut conn)
            .await?;
            if others.is_empty() {
                let locked: bool = query_scalar(LOCK_WRITERS_OUT).fetch_one(&mut conn).await?;
                if locked {
                    return Ok(conn);
                }
            }
            if Instant::now() >= patience {
                return Err(self.unfit(&format!(
                    "it is in use by {}: stop the services first, and have the others leave",
                    others.join(", ")
                )));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// The same of one that can be written to and keeps its word.
    pub(crate) async fn alone_to_write(&self) -> Result<Conn, StoreError> {
        let mut conn = self.alone().await?;
        self.promises(&mut conn).await?;
        Ok(conn)
    }

    /// The same of one to read, which is refused on a standby: who uses the primary cannot be seen there.
    pub(crate) async fn alone_to_read(&self) -> Result<Conn, StoreError> {
        let mut conn = self.alone().await?;
        let standby: bool = query_scalar("SELECT pg_is_in_recovery()")
            .fetch_one(&mut conn)
            .await?;
        if standby {
            return Err(self.unfit(
                "the server is a standby, where nobody sees who uses the database: name the primary",
            ));
        }
        Ok(conn)
    }
}
