//! A cache of one kind, kept by a watch: never older than what was written through it, whole again after a relist.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kube::ResourceExt;
use kube::runtime::watcher::Event;

type Objects<K> = BTreeMap<String, Arc<K>>;

pub struct Store<K>(Mutex<Inner<K>>);

struct Inner<K> {
    objects: Objects<K>,
    /// Of a list in progress.
    fresh: Objects<K>,
    listed: bool,
}

impl<K> Default for Store<K> {
    fn default() -> Self {
        Store(Mutex::new(Inner { objects: BTreeMap::new(), fresh: BTreeMap::new(), listed: false }))
    }
}

fn version<K: ResourceExt>(object: &K) -> u64 {
    object.resource_version().and_then(|v| v.parse().ok()).unwrap_or(0)
}

impl<K: ResourceExt> Store<K> {
    fn lock(&self) -> MutexGuard<'_, Inner<K>> {
        // Every change is whole before the lock is let go.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn listed(&self) -> bool {
        self.lock().listed
    }

    pub fn all(&self) -> Vec<Arc<K>> {
        self.lock().objects.values().cloned().collect()
    }

    pub fn get(&self, name: &str) -> Option<Arc<K>> {
        self.lock().objects.get(name).cloned()
    }

    /// What a write returned; the watch tells of it later.
    pub fn written(&self, object: K) {
        let mut inner = self.lock();
        put(&mut inner.objects, Arc::new(object));
    }

    /// Takes a watch event in; whether something a reader can see may have changed.
    pub fn take(&self, event: Event<K>) -> bool {
        let mut inner = self.lock();
        match event {
            Event::Init => inner.fresh.clear(),
            Event::InitApply(object) => {
                put(&mut inner.fresh, Arc::new(object));
            }
            Event::InitDone => {
                let mut fresh = std::mem::take(&mut inner.fresh);
                for (name, object) in &mut fresh {
                    let written =
                        inner.objects.get(name).filter(|o| version(o.as_ref()) > version(object.as_ref()));
                    if let Some(written) = written {
                        *object = written.clone();
                    }
                }
                inner.objects = fresh;
                inner.listed = true;
                return true;
            }
            Event::Apply(object) => return put(&mut inner.objects, Arc::new(object)),
            Event::Delete(object) => {
                // A newer object of the same name is not what was deleted.
                let gone = inner.objects.get(&object.name_any()).is_some_and(|o| o.uid() == object.uid());
                if gone {
                    inner.objects.remove(&object.name_any());
                }
                return gone;
            }
        }
        false
    }
}

/// Whether it was newer than what stood there.
fn put<K: ResourceExt>(objects: &mut Objects<K>, object: Arc<K>) -> bool {
    let newer =
        objects.get(&object.name_any()).is_none_or(|old| version(old.as_ref()) < version(object.as_ref()));
    if newer {
        objects.insert(object.name_any(), object);
    }
    newer
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::ConfigMap;

    fn object(name: &str, uid: &str, version: u64) -> ConfigMap {
        let meta = serde_json::json!({"metadata": {"name": name, "uid": uid, "resourceVersion": version.to_string()}});
        serde_json::from_value(meta).unwrap()
    }

    fn versions(store: &Store<ConfigMap>) -> Vec<(String, u64)> {
        store.all().iter().map(|o| (o.name_any(), version(o.as_ref()))).collect()
    }

    #[test]
    fn a_write_is_never_hidden_by_an_older_event() {
        let store = Store::default();
        store.take(Event::Init);
        store.take(Event::InitApply(object("a", "1", 3)));
        assert!(!store.listed() && store.all().is_empty(), "half a list is not shown");
        assert!(store.take(Event::InitDone) && store.listed());
        store.written(object("a", "1", 9));
        assert!(!store.take(Event::Apply(object("a", "1", 5))));
        assert_eq!(versions(&store), [("a".to_owned(), 9)]);
        assert!(!store.take(Event::Apply(object("a", "1", 9))), "its own event changes nothing");
        assert!(!store.take(Event::Delete(object("a", "0", 4))), "another one of that name");
        assert!(store.take(Event::Apply(object("a", "1", 10))));
    }

    #[test]
    fn a_relist_drops_what_is_gone() {
        let store = Store::default();
        for event in
            [Event::Init, Event::InitApply(object("a", "1", 3)), Event::InitApply(object("b", "2", 4))]
        {
            store.take(event);
        }
        store.take(Event::InitDone);
        store.written(object("b", "2", 20));
        for event in
            [Event::Init, Event::InitApply(object("b", "2", 12)), Event::InitApply(object("c", "3", 13))]
        {
            store.take(event);
        }
        store.take(Event::InitDone);
        assert_eq!(versions(&store), [("b".to_owned(), 20), ("c".to_owned(), 13)]);
        assert!(store.take(Event::Delete(object("c", "3", 15))));
    }
}
