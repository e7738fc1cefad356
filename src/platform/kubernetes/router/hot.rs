//! The parts of a router's objects that a rollout rewrites: as they ought to be for a routing, as JSON Patches, and
//! read back. Pure. Rules alone do not say which slot is the candidate, so one object carries what they were made of.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use kube::ResourceExt;
use kube::api::{DynamicObject, ObjectMeta};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::manifest::Kind;
use crate::platform::Result;
use crate::rollout::Routing;

/// On the carrier: what the rules were made of and when.
pub const ROUTING: &str = "msctl.dev/routing";

/// The router's objects as a watch last saw them.
pub type Objects = BTreeMap<(Kind, String), Arc<DynamicObject>>;

/// One object's part, always written whole.
#[derive(Debug, Clone, PartialEq)]
pub struct Hot {
    pub kind: Kind,
    pub name: String,
    /// JSON pointer, such as `/spec/rules`.
    pub path: &'static str,
    pub value: Value,
    /// Those without a value must not be there.
    pub annotations: Vec<(&'static str, Option<String>)>,
    /// This one remembers the routing.
    pub carrier: bool,
}

impl Hot {
    pub fn new(kind: Kind, name: &str, path: &'static str, value: Value) -> Hot {
        Hot { kind, name: name.to_owned(), path, value, annotations: Vec::new(), carrier: false }
    }

    pub fn carrying(self) -> Hot {
        Hot { carrier: true, ..self }
    }

    fn key(&self) -> (Kind, String) {
        (self.kind, self.name.clone())
    }

    fn in_place(&self, objects: &Objects) -> bool {
        let Some(object) = objects.get(&self.key()) else { return false };
        let noted =
            |(name, value): &(&str, Option<String>)| object.annotations().get(*name) == value.as_ref();
        object.data.pointer(self.path).is_some_and(|actual| contains(actual, &self.value))
            && self.annotations.iter().all(noted)
    }

    fn operations(&self) -> Vec<Value> {
        let mut operations = vec![json!({"op": "add", "path": self.path, "value": self.value})];
        for (name, value) in &self.annotations {
            let path = annotation(name);
            operations.push(json!({"op": "add", "path": path, "value": value.clone().unwrap_or_default()}));
            if value.is_none() {
                // Added first, so that it can be removed whether or not it was there.
                operations.push(json!({"op": "remove", "path": path}));
            }
        }
        operations
    }
}

fn annotation(name: &str) -> String {
    format!("/metadata/annotations/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// One fenced patch.
#[derive(Debug, Clone, PartialEq)]
pub struct Write {
    pub kind: Kind,
    pub name: String,
    pub operations: Vec<Value>,
}

#[derive(Serialize, Deserialize)]
struct Written {
    since: Timestamp,
    routing: Routing,
}

/// The patches that lead to `routing`, whose parts are `hots`, in this order. What is in place is left alone.
pub fn writes(hots: &[Hot], routing: &Routing, objects: &Objects, now: Timestamp) -> Result<Vec<Write>> {
    let before = hots.iter().find(|h| h.carrier).and_then(|h| read(objects.get(&h.key())?));
    let same = |w: &Written| w.routing == *routing && hots.iter().all(|h| h.in_place(objects));
    let since = before.filter(same).map_or(now, |w| w.since);
    let note = serde_json::to_string(&Written { since, routing: routing.clone() });
    let note = note.map_err(anyhow::Error::from)?;
    let wanted = hots.iter().filter(|h| h.carrier || !h.in_place(objects));
    Ok(wanted
        .map(|hot| {
            let mut operations = hot.operations();
            if hot.carrier {
                operations.push(json!({"op": "add", "path": annotation(ROUTING), "value": note}));
            }
            Write { kind: hot.kind, name: hot.name.clone(), operations }
        })
        .collect())
}

fn read(object: &Arc<DynamicObject>) -> Option<Written> {
    serde_json::from_str(object.annotations().get(ROUTING)?).ok()
}

/// What `carrier` remembers, if the objects still are what `made_of` makes of it; and who wrote what is not, or else
/// the carrier's part.
pub fn remembered(
    carrier: &Arc<DynamicObject>,
    made_of: impl Fn(&Routing) -> Vec<Hot>,
    objects: &Objects,
) -> (Option<(Routing, Timestamp)>, Option<String>) {
    let written = read(carrier);
    let hots = written.as_ref().map(|w| made_of(&w.routing)).unwrap_or_default();
    let changed = hots.iter().find(|h| !h.in_place(objects));
    let shown = changed.or_else(|| hots.iter().find(|h| h.carrier));
    let by = shown.and_then(|h| writer(&objects.get(&h.key())?.metadata, h));
    let known = written.filter(|_| changed.is_none()).map(|w| (w.routing, w.since));
    (known, by)
}

/// The manager that last wrote the part.
fn writer(meta: &ObjectMeta, hot: &Hot) -> Option<String> {
    let spec: Vec<String> = hot.path.split('/').skip(1).map(|p| format!("f:{p}")).collect();
    let noted = hot
        .annotations
        .iter()
        .map(|(name, _)| ["f:metadata".to_owned(), "f:annotations".to_owned(), format!("f:{name}")].to_vec());
    let paths: Vec<Vec<String>> = [spec].into_iter().chain(noted).collect();
    let owns = |fields: &Value| {
        paths.iter().any(|path| path.iter().try_fold(fields, |at, key| at.get(key)).is_some())
    };
    let entries = meta.managed_fields.iter().flatten();
    let owners = entries.filter(|e| e.fields_v1.as_ref().is_some_and(|f| owns(&f.0)));
    owners.max_by_key(|e| e.time.as_ref().map(|t| t.0))?.manager.clone()
}

/// Whether `actual` is `ours` plus what the API server fills in.
pub fn contains(actual: &Value, ours: &Value) -> bool {
    match (actual, ours) {
        (Value::Object(actual), Value::Object(ours)) => {
            ours.iter().all(|(key, value)| actual.get(key).is_some_and(|a| contains(a, value)))
        }
        (Value::Array(actual), Value::Array(ours)) => {
            actual.len() == ours.len() && actual.iter().zip(ours).all(|(a, o)| contains(a, o))
        }
        (Value::Number(actual), Value::Number(ours)) => actual.as_f64() == ours.as_f64(),
        (actual, ours) => actual == ours,
    }
}

/// The objects after `writes`, as an API server would have them; for tests of what is written and read back.
#[cfg(test)]
pub mod testing {
    use super::*;

    /// `objects` as they are made.
    pub fn made(objects: &[Value]) -> Objects {
        let object = |value: &Value| {
            let mut value = value.clone();
            if value["metadata"].get("annotations").is_none() {
                value["metadata"]["annotations"] = json!({});
            }
            let object: DynamicObject = serde_json::from_value(value.clone()).expect("an object");
            let kind = crate::manifest::kind_of(&value).expect("a kind of ours");
            ((kind, object.name_any()), Arc::new(object))
        };
        objects.iter().map(object).collect()
    }

    pub fn written(objects: &Objects, writes: &[Write]) -> Objects {
        let mut objects = objects.clone();
        for write in writes {
            let object = objects.get_mut(&(write.kind, write.name.clone())).expect("it was made");
            let mut value = serde_json::to_value(object.as_ref()).expect("an object");
            for operation in &write.operations {
                apply(&mut value, operation);
            }
            *object = Arc::new(serde_json::from_value(value).expect("still an object"));
        }
        objects
    }

    fn apply(object: &mut Value, operation: &Value) {
        let path = operation["path"].as_str().expect("a path");
        let (parent, key) = path.rsplit_once('/').expect("a pointer");
        let key = key.replace("~1", "/").replace("~0", "~");
        let parent = object.pointer_mut(parent).and_then(Value::as_object_mut).expect("its parent is there");
        match operation["op"].as_str() {
            Some("add") => parent.insert(key, operation["value"].clone()),
            Some("remove") => Some(parent.shift_remove(&key).expect("only what is there is removed")),
            other => panic!("{other:?}"),
        };
    }
}
