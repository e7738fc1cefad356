//! Values of `secrets` at deploy time, from variables and files. They are never printed.

use std::collections::BTreeMap;
use std::path::Path;

use crate::context::Ctx;
use crate::error::Failure;
use crate::service::{SecretSource, Service};

pub type Values = BTreeMap<String, String>;

/// All values msctl is to store; one that is missing is exit code 2 and named.
pub fn resolve(ctx: &Ctx, folder: &Path, service: &Service) -> anyhow::Result<Values> {
    let mut values = Values::new();
    for (name, source) in &service.secrets {
        let value = match source {
            SecretSource::FromEnv(variable) => {
                ctx.settings.env.get(variable).map(str::to_owned).ok_or_else(|| {
                    missing(name, &format!("the variable {variable} is not set, or empty"))
                        .hint(format!("set {variable} where msctl runs"))
                })?
            }
            SecretSource::FromFile(path) => read(folder, name, path)?,
            SecretSource::FromSecret(_) => continue,
        };
        values.insert(name.clone(), value);
    }
    Ok(values)
}

fn missing(name: &str, why: &str) -> Failure {
    Failure::usage("missing-secret", format!("secret {name}: {why}")).object(format!("secrets.{name}"))
}

/// The file without its last line break: editors add one, and no password means it.
fn read(folder: &Path, name: &str, path: &str) -> anyhow::Result<String> {
    let file = folder.join(path);
    let text = std::fs::read_to_string(&file)
        .map_err(|e| missing(name, &format!("the file {} cannot be read", file.display())).source(e))?;
    let text = text.strip_suffix('\n').map_or(text.as_str(), |t| t.strip_suffix('\r').unwrap_or(t));
    if text.is_empty() {
        return Err(missing(name, &format!("the file {} is empty", file.display())).into());
    }
    Ok(text.to_owned())
}
