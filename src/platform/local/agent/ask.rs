//! GETs from a slot's processes, for whoever measures them.

use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use jiff::Timestamp;
use serde_json::Value;

use super::Agent;
use super::probe::get;
use super::record::{Phase, Replica};
use crate::platform::local::api::Fault;
use crate::platform::{ASKED, AT_A_TIME, Answer};
use crate::rollout::Slot;

const SLOWEST: Duration = Duration::from_secs(5);
const LARGEST: usize = 16 << 20;

impl Agent {
    pub(super) async fn ask(self: &Arc<Self>, service: &str, slot: Slot, path: &str) -> Result<Value, Fault> {
        let replicas: Vec<Replica> = match self.lock().get(service) {
            None => Vec::new(),
            Some(entry) => {
                let record = &entry.record;
                let revision = record.slots.get(&slot).map(|s| s.revision);
                let present = record.of_slot(slot).filter(|r| Some(r.revision) == revision);
                present.filter(|r| r.ready.is_some()).take(ASKED).cloned().collect()
            }
        };
        let asked: Vec<_> = replicas.iter().map(|replica| one(replica, path).boxed()).collect();
        let answers: Vec<Option<Answer>> = futures::stream::iter(asked).buffered(AT_A_TIME).collect().await;
        let answers: Vec<Answer> = answers.into_iter().flatten().collect();
        serde_json::to_value(answers).map_err(|e| Fault::from(anyhow::Error::from(e)))
    }
}

async fn one(replica: &Replica, path: &str) -> Option<Answer> {
    let Phase::Running { birth, port } = replica.phase else { return None };
    let said = match tokio::time::timeout(SLOWEST, get(port, path, LARGEST)).await {
        Ok(answer) => answer.map_err(|e| format!("GET {path} on port {port}: {e}")),
        Err(_) => Err(format!("GET {path} was not answered within {} s", SLOWEST.as_secs())),
    };
    let started: Option<Timestamp> = Some(replica.since);
    let container = format!("{}/{}-{}", replica.name, birth.pid, birth.start);
    Some(Answer { pod: replica.name.clone(), container, started, said })
}
