//! What a failed turn means: try on, or stop.

use std::time::Duration;

use super::{Driver, Goal};
use crate::platform::Error;
use crate::rollout::{Event, tell};

/// So many conflicts in a row, each waited for a little longer, are somebody's policy and no race.
const CONFLICTS: u32 = 50;

impl Driver<'_> {
    /// What an error means: try on after so long, or stop.
    pub(super) async fn endure(&mut self, error: Error, goal: &Goal) -> anyhow::Result<Duration> {
        self.failures += 1;
        let wait = Duration::from_millis(100 << self.failures.min(5));
        match error {
            Error::Conflict(_) if self.failures < CONFLICTS => {
                if let Err(overtaken @ Error::Overtaken { .. }) = self.reload().await {
                    self.unfenced |= self.orphaned;
                    return Err(tell::failure(self, overtaken));
                }
                Ok(Duration::from_millis(20 * u64::from(self.failures)))
            }
            Error::Unreachable(message) => {
                let now = self.host.elapsed();
                let since = *self.lost.get_or_insert(now);
                // What could not be asked for has had no time.
                self.state.memo.began = None;
                if since == now {
                    self.tell(Event::Unreachable { message: message.clone() });
                }
                if !self.wrote || now.saturating_sub(since) >= goal.patience {
                    return Err(tell::failure(self, Error::Unreachable(message)));
                }
                Ok(wait.min(Duration::from_secs(2)))
            }
            Error::Other(error) if crate::error::failure(&error).is_some() => Err(tell::left(self, error)),
            Error::NotFound(_) | Error::Other(_) | Error::Conflict(_) if self.failures < 6 => Ok(wait),
            error => {
                // Whoever raised the epoch may have died at it, and no Lease tells.
                self.unfenced |= self.orphaned && matches!(error, Error::Overtaken { .. });
                if matches!(error, Error::Overtaken { .. } | Error::Terminating(_)) {
                    self.keeper.close();
                }
                Err(tell::failure(self, error))
            }
        }
    }
}
