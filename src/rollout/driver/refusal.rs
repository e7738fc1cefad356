//! The error that a bad end is told as.

use super::{Driver, End};
use crate::error::{Failure, Kind};
use crate::rollout::tell;

/// The kind of error that a run's end means, for ends that are errors.
pub fn refusal(driver: &Driver<'_>, end: End) -> Option<anyhow::Error> {
    let rollout = driver.state.rollout.as_ref()?;
    let cause = rollout.cause.as_ref()?;
    let live = driver.state.live.map(|l| l.revision);
    let kind = match end {
        End::Aborted => Kind::Refused,
        End::Failed => Kind::Failed,
        End::Healthy | End::Reached | End::Paused | End::Settled | End::Idle | End::Detached => return None,
    };
    let serves = match (kind, live) {
        (Kind::Refused, Some(live)) => format!("; revision {live} serves"),
        _ => String::new(),
    };
    let reason = tell::stable(&cause.reason);
    let verdict = if kind == Kind::Refused { "was refused" } else { "failed" };
    let message =
        format!("{}: revision {} {verdict}: {}{serves}", driver.service, rollout.revision, cause.message);
    let mut failure = Failure::new(kind, reason, message);
    if let Some(pod) = &cause.pod {
        failure = failure.object(format!("Pod/{pod}"));
    }
    if !cause.log.is_empty() {
        failure = failure.source(anyhow::anyhow!("the log's last lines:\n{}", cause.log.join("\n")));
    }
    if let Some(hint) = tell::pull_hint(cause) {
        failure = failure.hint(hint);
    } else if kind == Kind::Failed && rollout.from.is_none() {
        failure = failure
            .hint("its pods are left for a look: `msctl logs`; mend it and deploy again, or `msctl delete`");
    } else if kind == Kind::Refused {
        failure = failure.hint("mend it and deploy again, or `msctl rollout retry`");
    } else {
        failure = failure.hint("`msctl rollout abort` takes it back, `msctl rollout retry` starts it again");
    }
    Some(failure.into())
}
