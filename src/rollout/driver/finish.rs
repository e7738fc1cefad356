//! The tail of a rollout that is over.

use std::time::Duration;

use super::{Driver, Goal, Mode, Turned};

/// The rollout is over; what is late and harmless is done if it is due within a minute, else left.
pub async fn finish(driver: &mut Driver<'_>, limit: Duration) {
    let started = driver.host.elapsed();
    let goal = Goal { patience: limit, ..Goal::new(Mode::Settle) };
    driver.ended = true;
    let settled = |driver: &Driver| {
        let tidy = driver.state.rollout.as_ref().is_none_or(|r| r.tidy || r.held.is_some());
        (tidy && !driver.state.resizing && !driver.state.contracting)
            || driver.state.rollout.as_ref().is_some_and(|r| r.held.is_some())
    };
    while !settled(driver) {
        let left = limit.saturating_sub(driver.host.elapsed().saturating_sub(started));
        let due = driver.next_due().map(|at| at.duration_since(driver.seen.time));
        let due = due.and_then(|d| Duration::try_from(d).ok()).unwrap_or_default();
        // A migration is not left to run alone.
        let migrates = driver.migrator.running();
        if !migrates && (left.is_zero() || due > left) {
            break;
        }
        if due > Duration::from_secs(1) && !migrates {
            driver.release().await;
            let interrupted = tokio::select! {
                biased;
                () = driver.host.interrupted() => true,
                () = driver.host.sleep(due) => false,
            };
            if interrupted || !driver.resume().await {
                return;
            }
        }
        match driver.turn().await {
            Ok(Turned::Again) => {}
            Ok(Turned::Leave) => break,
            Ok(Turned::Wait) => {
                let wait = driver.pause_length(&goal, started).min(Duration::from_secs(1));
                tokio::select! {
                    biased;
                    () = driver.host.interrupted() => break,
                    () = driver.gatherer.finished() => {}
                    () = driver.migrator.finished() => {}
                    () = driver.platform.changed() => {}
                    () = driver.host.sleep(wait) => {}
                }
            }
            Err(error) => match driver.endure(error, &goal).await {
                Ok(wait) => driver.host.sleep(wait).await,
                // Late and harmless: the next command does it.
                Err(_) => break,
            },
        }
    }
    driver.release().await;
}
