//! The platform's errors as people meet them: exit code, reason, next move.

use crate::error::{Failure, Kind};
use crate::platform::Error;

/// `doing` says what was attempted, such as `apply Service/orders`. For before the first write; after it, losing contact
/// is another matter: [`after_write`].
pub fn of(error: Error, doing: &str) -> anyhow::Error {
    let failure = match error {
        Error::Owned { object, manager } => Failure::new(
            Kind::Held,
            "owned",
            format!("{object} has fields of another manager: {manager}"),
        )
        .object(object.clone())
        .hint(format!(
            "make that tool let go of the fields, or delete {object} if it is not needed, then deploy again"
        )),
        Error::Overtaken { seen, ours } => Failure::new(
            Kind::Held,
            "overtaken",
            format!("another driver took over: epoch {seen} is above {ours}"),
        )
        .hint("`msctl rollout status` shows who drives"),
        Error::Conflict(object) => {
            Failure::new(Kind::Held, "conflict", format!("{object} was changed by someone else meanwhile"))
                .object(object)
                .hint("look at it with `msctl diff`, then deploy again")
        }
        Error::Forbidden(why) => Failure::failed("forbidden", why)
            .hint("ask for the right, or use a context that has it: --context NAME"),
        Error::Unreachable(why) => Failure::failed("unreachable", why)
            .hint("check the address and the network; `kubectl cluster-info` asks the same server"),
        Error::NotFound(what) => Failure::failed("not-found", what),
        Error::Terminating(what) => {
            Failure::failed("terminating", format!("{what}: its namespace is being deleted"))
        }
        Error::Other(error) => return error.context(doing.to_owned()),
    };
    anyhow::Error::from(failure).context(doing.to_owned())
}

/// As [`of`], but lost contact leaves the outcome unknown.
pub fn after_write(error: Error, doing: &str) -> anyhow::Error {
    match error {
        Error::Unreachable(why) => {
            anyhow::Error::from(Failure::new(Kind::Unknown, "contact-lost", why).hint(
                "what was asked may have happened; run the same command again, or `msctl rollout attach`",
            ))
            .context(doing.to_owned())
        }
        other => of(other, doing),
    }
}
