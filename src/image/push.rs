//! Has the engine push an image, and makes sure that the registry holds what was pushed.

use std::collections::BTreeMap;

use bollard::query_parameters::PushImageOptions;
use futures::StreamExt;

use super::engine::Engine;
use super::reference::Reference;
use super::registry::{Manifest, Registries, denied};
use crate::context::Ctx;
use crate::error::Failure;
use crate::ui::Task;

/// Pushes `image` under `tag` and returns the registry's manifest of it, whose digest was computed from its bytes.
pub async fn push(
    ctx: &Ctx,
    engine: &Engine,
    registries: &Registries,
    image: &Reference,
    tag: &str,
    id: &str,
    task: &Task,
) -> anyhow::Result<Manifest> {
    let login = registries.login(image.host()).await;
    let options = PushImageOptions { tag: Some(tag.to_owned()), ..Default::default() };
    let credentials = Some(login.for_engine(image.host()));
    let mut answers = engine.docker.push_image(&image.repository, Some(options), credentials);
    let mut layers: BTreeMap<i64, i64> = BTreeMap::new();
    let mut said = None;
    loop {
        let answer = tokio::select! {
            answer = answers.next() => answer,
            () = ctx.interrupt.cancelled() => {
                let message = format!("push {image}:{tag}: interrupted; the tag was not moved");
                return Err(Failure::new(crate::settings::interrupted(), "interrupted", message).into());
            }
        };
        let info = match answer {
            None => break,
            Some(Ok(info)) => info,
            Some(Err(error)) => return Err(explain(image, registries, &error.to_string()).await),
        };
        let status = info.status.unwrap_or_default();
        if let Some(digest) = announced(&status, tag) {
            said = Some(digest);
        }
        if let Some((current, total)) = info.progress_detail.and_then(|d| Some((d.current?, d.total?))) {
            // Bollard drops the layer's id; its size tells layers apart well enough for a bar.
            layers.insert(total, current.min(total));
            let (done, total) = (layers.values().sum::<i64>(), layers.keys().sum::<i64>());
            task.bytes(u64::try_from(done).unwrap_or(0), u64::try_from(total).ok());
        } else if !status.is_empty() {
            task.message(status);
        }
    }
    verify(registries, image, tag, id, said).await
}

/// `TAG: digest: sha256:… size: N` is the engine's last word on a push.
fn announced(status: &str, tag: &str) -> Option<String> {
    let rest = status.strip_prefix(tag)?.strip_prefix(": digest: ")?;
    rest.split_whitespace().next().map(str::to_owned)
}

async fn verify(
    registries: &Registries,
    image: &Reference,
    tag: &str,
    id: &str,
    said: Option<String>,
) -> anyhow::Result<Manifest> {
    let Some(manifest) = registries.manifest(image, tag).await? else {
        let message = format!("{image}:{tag} was pushed, but the registry does not have it");
        return Err(Failure::failed("digest-mismatch", message).into());
    };
    let other = |what: &str, theirs: &str| {
        let message =
            format!("{image}:{tag} was pushed as {what} {theirs}, but the registry has {}", manifest.digest);
        Failure::failed("digest-mismatch", message)
            .hint("somebody else may have pushed the same tag: build again")
    };
    if let Some(said) = said.filter(|said| *said != manifest.digest) {
        return Err(other("digest", &said).into());
    }
    // The id is the configuration's digest, or with containerd's image store the manifest's.
    if manifest.digest != id && manifest.config().is_some_and(|config| config != id) {
        return Err(other("image", id).into());
    }
    Ok(manifest)
}

async fn explain(image: &Reference, registries: &Registries, text: &str) -> anyhow::Error {
    let text = text.strip_prefix("Docker stream error: ").unwrap_or(text);
    let lower = text.to_lowercase();
    let any = |words: &[&str]| words.iter().any(|w| lower.contains(w));
    if any(&[
        "denied",
        "unauthorized",
        "no basic auth",
        "authentication required",
        "forbidden",
        "insufficient_scope",
    ]) {
        return denied(image, "push", &registries.login(image.host()).await, text.to_owned());
    }
    let failure = if any(&[
        "connection refused",
        "no such host",
        "i/o timeout",
        "network is unreachable",
        "tls:",
        "x509",
    ]) {
        let message = format!("push {}: the engine cannot reach {}", image.repository, image.host());
        Failure::failed("registry-unreachable", message)
            .hint("the engine pushes, not msctl: it must reach the registry too")
    } else if any(&["no space left"]) {
        Failure::failed("disk-full", format!("push {}: no space left", image.repository))
    } else {
        Failure::failed("push-failed", format!("push {}", image.repository))
    };
    failure.object(image.to_string()).source(anyhow::anyhow!("{text}")).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engines_last_word_is_understood() {
        let digest = format!("sha256:{}", "0".repeat(64));
        assert_eq!(announced(&format!("v1: digest: {digest} size: 528"), "v1"), Some(digest.clone()));
        assert_eq!(announced(&format!("v10: digest: {digest} size: 528"), "v1"), None);
        assert_eq!(announced("Pushed", "v1"), None);
    }
}
