//! What is known of objects that the server tells of.

use super::*;

fn map(name: &str, version: u64, data: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "data": {"x": data},
        "metadata": {"name": name, "namespace": "kube-system", "resourceVersion": version.to_string()},
    })
}

/// A state in which two objects are wanted, and the watch that they are in.
fn state() -> (State, Collection) {
    let (a, b) = (map("a", 0, ""), map("b", 0, ""));
    let wanted = collections(&[&a, &b]);
    let of = wanted.values().next().unwrap().clone();
    (State { copies: wanted.into_iter().map(|(id, of)| (id, Held::new(of))).collect(), ..State::default() }, of)
}

fn shared() -> (Shared, Arc<Mutex<Vec<Id>>>) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let changed: Changed = {
        let told = Arc::clone(&told);
        Arc::new(move |id| told.lock().unwrap().push(id))
    };
    (Shared { changed, state: Mutex::default() }, told)
}

#[test]
fn a_lease_wakes_nobody_and_is_known_for_as_long_as_the_server_tells_of_it() {
    let (shared, told) = shared();
    let renewed = |version: u64| -> Event<DynamicObject> {
        let lease = json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "spec": {"renewTime": version.to_string()},
            "metadata": {"name": "kube-scheduler", "namespace": "kube-system", "resourceVersion": version.to_string()},
        });
        Event::Apply(serde_json::from_value(lease).unwrap())
    };
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": "kube-scheduler", "namespace": "kube-system"},
    });
    let wanted = collections(&[&lease]);
    let (id, of) = wanted.into_iter().next().unwrap();
    shared.lock().copies.insert(id.clone(), Held::new(of.clone()));
    assert!(!shared.lock().is_ready() && shared.lock().recent(&id).is_none());
    shared.lock().ready = true;
    assert!(!shared.lock().is_ready(), "nothing was heard of it since");
    for version in [5, 6] {
        shared.take(&of, Some(renewed(version)), &mut BTreeSet::new());
    }
    assert_eq!(shared.lock().recent(&id).unwrap()["spec"]["renewTime"], "6");
    assert!(shared.lock().is_ready() && told.lock().unwrap().is_empty());
    let old = Instant::now().checked_sub(RECENT);
    shared.lock().copies.get_mut(&id).unwrap().heard = old;
    assert!(!shared.lock().is_ready() && shared.lock().recent(&id).is_none(), "it may have been renewed since");
    shared.take(&of, Some(renewed(7)), &mut BTreeSet::new());
    shared.take(&of, None, &mut BTreeSet::new());
    assert!(!shared.lock().is_ready(), "another server may answer from now on");
}

#[test]
fn only_a_change_of_content_is_news() {
    let (mut state, _) = state();
    let id = Id::of_object(&map("a", 0, ""));
    assert_eq!(state.set(map("a", 5, "1")), Some(id.clone()));
    let mut status = map("a", 6, "1");
    status["status"] = json!({"ready": true});
    assert_eq!(state.set(status), None);
    assert_eq!(state.set(map("a", 7, "2")), Some(id.clone()));
    assert!(state.remove(&id, Some(8)));
    assert!(!state.remove(&id, Some(8)), "it is gone already");
    assert_eq!(state.set(map("unwanted", 9, "1")), None);
    assert!(state.copies.len() == 2, "what nobody wants is not kept");
}

#[test]
fn what_is_older_than_what_was_read_changes_nothing() {
    let (mut state, _) = state();
    let id = Id::of_object(&map("a", 0, ""));
    state.copies.get_mut(&id).unwrap().least = 10;
    assert_eq!(state.set(map("a", 9, "old")), None);
    assert!(!state.remove(&id, Some(9)));
    assert_eq!(state.set(map("a", 11, "new")), Some(id));
}

#[test]
fn what_was_read_before_something_was_told_is_not_believed() {
    let (mut state, of) = state();
    let id = Id::of_object(&map("a", 0, ""));
    // The watch begins, without the object, while it is being read.
    state.current.insert(of);
    assert!(state.remove(&id, None));
    assert!(!state.put(&id, Some(&map("a", 5, "1"))));
    assert_eq!(state.copies[&id].object, Ok(None));
    // It is deleted after it was changed from here and read again.
    (state.copies.get_mut(&id).unwrap().least, state.copies.get_mut(&id).unwrap().object) = (u64::MAX, Err(Unknown));
    assert!(!state.remove(&id, Some(8)));
    assert!(state.put(&id, Some(&map("a", 7, "1"))), "it has to be read again");
    assert_eq!(state.copies[&id].object, Err(Unknown));
}

#[test]
fn one_object_of_a_kind_is_watched_by_its_name_and_several_together() {
    let role = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "cp1"}});
    let (a, b) = (map("a", 0, ""), map("b", 0, ""));
    let found = collections(&[&role, &a, &b]);
    let names: BTreeSet<Option<&str>> = found.values().map(|collection| collection.name.as_deref()).collect();
    assert_eq!(names, BTreeSet::from([Some("cp1"), None]));
    assert_eq!(found.values().collect::<BTreeSet<_>>().len(), 2);
}
