//! Agreement: a protected environment is changed only by who names it; removal is asked for.

use crate::context::Ctx;
use crate::error::Failure;
use crate::settings::{Target, Yes};

/// Each environment once.
pub fn places<'a>(targets: impl Iterator<Item = &'a Target>) -> Vec<&'a Target> {
    let mut seen: Vec<&Target> = Vec::new();
    for target in targets {
        if !seen.iter().any(|t| t.environment == target.environment) {
            seen.push(target);
        }
    }
    seen
}

/// Fails unless `target` may be changed: it is not protected, or its name was given or is typed.
pub fn to_change(ctx: &Ctx, target: &Target, doing: &str) -> anyhow::Result<()> {
    let name = &target.environment;
    if let Yes::Environment(given) = &ctx.settings.yes {
        if given == name {
            return Ok(());
        }
        return Err(Failure::usage(
            "other-environment",
            format!("--yes={given} agrees to another environment than {name}"),
        )
        .hint(format!("give --yes={name}, or -e {given}"))
        .into());
    }
    if !target.protected {
        return Ok(());
    }
    let question = format!("{name} is protected: type its name to {doing} it");
    let typed = ctx.ui.ask_text(&question, None, &format!("--yes={name}"), |_| Ok(()))?;
    if typed.trim() == name { Ok(()) } else { Err(declined(&format!("{doing} {name}")).into()) }
}

/// Asks before a service is removed; a protected environment wants its name besides.
pub fn to_remove(ctx: &Ctx, target: &Target, service: &str, place: &str) -> anyhow::Result<()> {
    to_change(ctx, target, &format!("delete {service} from"))?;
    if target.protected || ctx.settings.yes != Yes::No {
        return Ok(());
    }
    let question = format!("Delete {service} and all that belongs to it from {place}?");
    if ctx.ui.ask_yes(&question, false, "--yes")? {
        Ok(())
    } else {
        Err(declined(&format!("delete {service}")).into())
    }
}

/// Asks before a contract takes away what older versions need.
pub fn to_contract(ctx: &Ctx, target: &Target, service: &str, place: &str) -> anyhow::Result<()> {
    to_change(ctx, target, &format!("contract the schema of {service} in"))?;
    if target.protected || ctx.settings.yes != Yes::No {
        return Ok(());
    }
    let question = format!(
        "Contract the schema of {service} in {place}? No version before the live one can come back then."
    );
    match ctx.ui.ask_yes(&question, false, "--yes")? {
        true => Ok(()),
        false => Err(declined(&format!("contract the schema of {service}")).into()),
    }
}

fn declined(what: &str) -> Failure {
    Failure::failed("declined", format!("{what}: declined, nothing was changed"))
}
