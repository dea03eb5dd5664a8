//! What this process remembers between passes, and loses with it: proof rounds and name changes on the monotonic clock,
//! when agents were last seen to renew, and which object a uid belongs to. Nothing here is needed to be right again after a
//! restart: a new process opens new rounds and waits `dnsSettle` anew. Locks are never held across an await.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;
use sreg_domain::seen::{Attempts, AzureSeen, Memory, Round};
use sreg_domain::{ArmId, Digest};
use tokio::time::Instant;

use crate::absence::{Absences, Witnesses};
use crate::leadership::Moment;

/// Namespace and name of a `SecureRegistry`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl ObjectKey {
    /// The key of an object of whatever kind.
    pub fn of(object: &impl ResourceExt) -> ObjectKey {
        ObjectKey {
            namespace: object.namespace().unwrap_or_default(),
            name: object.name_any(),
        }
    }
}

/// Memory of every object, by uid.
#[derive(Debug, Default)]
pub struct Memories {
    objects: Mutex<HashMap<String, Entry>>,
    renewals: Mutex<HashMap<(String, String), Renewal>>,
    /// The namespaces of vantage points that were looked at.
    places: Mutex<BTreeMap<String, String>>,
}

#[derive(Debug)]
struct Entry {
    key: ObjectKey,
    met: Instant,
    round: Option<OpenRound>,
    /// Since when a path is lost.
    lost: Option<Instant>,
    /// Something of it was closed to the public, when that could last be read: clients depend on their paths.
    closed: bool,
    /// Last name change, or when this process first saw the object.
    names_changed: Instant,
    /// A name change was made or seen, and `names_changed` is when.
    changed: bool,
    /// What was last known of everything that names depend on.
    names: BTreeMap<ArmId, Digest>,
    vantage_points: BTreeSet<String>,
    attempts: Attempts,
    absences: Absences,
    /// Zones that our zone groups were last seen to write to, by endpoint.
    zone_groups: BTreeMap<ArmId, Vec<ArmId>>,
}

impl Entry {
    fn note_name_change(&mut self) {
        self.names_changed = Instant::now();
        self.changed = true;
    }
}

#[derive(Debug)]
struct OpenRound {
    number: i64,
    subject: Digest,
    opened: Moment,
}

impl OpenRound {
    /// By whichever clock says more: the monotonic one stands still while a machine is suspended, the wall clock can be set
    /// back. Evidence may count as older than it is, never as fresher.
    fn age(&self, now: Moment) -> Duration {
        let monotonic = now.latest.saturating_duration_since(self.opened.earliest);
        let wall = Duration::try_from(now.wall.duration_since(self.opened.wall)).unwrap_or_default();
        monotonic.max(wall)
    }
}

#[derive(Debug)]
struct Renewal {
    renewed: Timestamp,
    /// When this value was first seen.
    first_seen: Instant,
    /// When the Lease was last looked at.
    last_look: Instant,
    /// How long it lasts after that.
    lasts: Duration,
    /// Judged alive when this value was first seen.
    alive_at_first: bool,
}

impl Memories {
    /// A pass over this object begins. The first one starts its `since_name_change`.
    pub fn meet(&self, uid: &str, key: ObjectKey) {
        let mut objects = self.objects();
        let entry = objects.entry(uid.to_owned()).or_insert_with(|| Entry {
            key: key.clone(),
            met: Instant::now(),
            round: None,
            lost: None,
            closed: false,
            names_changed: Instant::now(),
            changed: false,
            names: BTreeMap::new(),
            vantage_points: BTreeSet::new(),
            attempts: Attempts::default(),
            absences: Absences::default(),
            zone_groups: BTreeMap::new(),
        });
        entry.key = key;
    }

    /// What the planner may know.
    pub fn recall(&self, uid: &str) -> Memory {
        let now = Moment::now();
        let since = |then: Instant| now.earliest.saturating_duration_since(then);
        self.objects().get(uid).map_or_else(Memory::default, |entry| Memory {
            known_for: Some(since(entry.met)),
            round: entry.round.as_ref().map(|round| Round {
                number: round.number,
                subject: round.subject.clone(),
                age: round.age(now),
            }),
            lost_for: entry.lost.map(since),
            since_name_change: Some(since(entry.names_changed)),
            name_changed: entry.changed.then(|| since(entry.names_changed)),
            attempts: entry.attempts.clone(),
            zone_groups: entry.zone_groups.clone(),
        })
    }

    /// A proof round was written into every probe; `opened` was taken just before the first write.
    pub fn open_round(&self, uid: &str, number: i64, subject: Digest, opened: Moment) {
        self.change(uid, |entry| {
            entry.round = Some(OpenRound {
                number,
                subject,
                opened,
            })
        });
    }

    /// The round is void: what follows proves nothing until another is opened.
    pub fn drop_round(&self, uid: &str) {
        self.change(uid, |entry| entry.round = None);
    }

    /// Whether a path is lost, as a visit has just seen it.
    pub fn path_is_lost(&self, uid: &str, lost: bool) {
        self.change(uid, |entry| {
            entry.lost = lost.then(|| entry.lost.unwrap_or_else(Instant::now));
        });
    }

    /// Whether anything is closed to the public, as a visit has just seen it; `None`: it could not be read.
    pub fn closed(&self, uid: &str, closed: Option<bool>) {
        self.change(uid, |entry| entry.closed = closed.unwrap_or(entry.closed));
    }

    /// Whether clients of this object depend on their private paths.
    pub fn depends_on_paths(&self, object: &ObjectKey) -> bool {
        self.objects()
            .values()
            .any(|entry| entry.key == *object && entry.closed)
    }

    /// A write after which names may answer differently has been sent.
    pub fn names_changed(&self, uid: &str) {
        self.change(uid, Entry::note_name_change);
    }

    /// What the report said of our writes; it outlives a status that somebody erases.
    pub fn attempted(&self, uid: &str, attempts: Attempts) {
        self.change(uid, |entry| entry.attempts = attempts);
    }

    /// What names depend on, as just seen (only what is known). A difference from what was known before, whoever made it, is
    /// a name change: operations end, and approvals come, long after the write.
    pub fn names_seen(&self, uid: &str, names: BTreeMap<ArmId, Digest>) {
        self.change(uid, |entry| {
            let differs = |(id, digest): (&ArmId, &Digest)| entry.names.get(id).is_some_and(|known| known != digest);
            if names.iter().any(differs) {
                entry.note_name_change();
            }
            entry.names.extend(names);
        });
    }

    /// Zones that our zone groups write to, by endpoint, as just seen.
    pub fn zone_groups_seen(&self, uid: &str, zones: BTreeMap<ArmId, Vec<ArmId>>) {
        self.change(uid, |entry| entry.zone_groups.extend(zones));
    }

    /// Resources that were seen and are looked at by themselves: endpoints of ours, and accounts that the registry named.
    pub(crate) fn known(&self, uid: &str) -> (BTreeSet<ArmId>, BTreeSet<ArmId>) {
        let objects = self.objects();
        let absences = objects.get(uid).map(|entry| &entry.absences);
        absences.map_or_else(Default::default, |a| (a.known_endpoints(), a.known_accounts()))
    }

    /// A write that removes this resource has been sent: that it is not found afterwards is no surprise.
    pub fn removing(&self, uid: &str, id: &ArmId) {
        self.change(uid, |entry| entry.absences.removing(id));
    }

    /// Turns what is not found, without enough evidence that it is gone, into not knowing.
    pub(crate) fn judge_absence(&self, uid: &str, witnesses: &Witnesses<'_>, azure: &mut AzureSeen) {
        let now = Instant::now();
        self.change(uid, |entry| entry.absences.judge(witnesses, azure, now));
    }

    /// The vantage points that the object names now.
    pub fn looks_from(&self, uid: &str, vantage_points: BTreeSet<String>) {
        self.change(uid, |entry| entry.vantage_points = vantage_points);
    }

    /// Objects that name this vantage point.
    pub fn looking_from(&self, vantage_point: &str) -> Vec<ObjectKey> {
        let objects = self.objects();
        objects
            .values()
            .filter(|e| e.vantage_points.contains(vantage_point))
            .map(|e| e.key.clone())
            .collect()
    }

    /// Every object that was met.
    pub fn all_keys(&self) -> Vec<ObjectKey> {
        self.objects().values().map(|entry| entry.key.clone()).collect()
    }

    /// The object with this uid.
    pub fn key_of(&self, uid: &str) -> Option<ObjectKey> {
        self.objects().get(uid).map(|entry| entry.key.clone())
    }

    /// The object is gone.
    pub fn forget(&self, uid: &str) {
        self.objects().remove(uid);
    }

    /// How many objects are remembered.
    pub fn len(&self) -> usize {
        self.objects().len()
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the holder of a Lease renews it, judged by our own monotonic clock: the value must change within `duration`.
    /// A value that was not watched since the one before it is compared with the wall clock `now`, with `slack` for skew.
    pub fn is_renewed(
        &self,
        lease: (&str, &str),
        renewed: Timestamp,
        duration: Duration,
        now: Timestamp,
        slack: Duration,
    ) -> bool {
        let look = Instant::now();
        let mut renewals = self.renewals.lock().unwrap_or_else(PoisonError::into_inner);
        forget_old(&mut renewals, look);
        let key = (lease.0.to_owned(), lease.1.to_owned());
        if let Some(known) = renewals.get_mut(&key)
            && known.renewed == renewed
        {
            known.last_look = look;
            return known.alive_at_first && look.saturating_duration_since(known.first_seen) <= duration;
        }
        let watched = renewals
            .get(&key)
            .is_some_and(|k| look.saturating_duration_since(k.last_look) <= duration + slack);
        let fresh = Duration::try_from(now.duration_since(renewed).abs()).is_ok_and(|age| age <= duration + slack);
        let alive_at_first = watched || fresh;
        renewals.insert(
            key,
            Renewal {
                renewed,
                first_seen: look,
                last_look: look,
                lasts: duration,
                alive_at_first,
            },
        );
        alive_at_first
    }

    /// A vantage point was looked at; its agent's Lease lies in this namespace.
    pub fn vantage_point_is_in(&self, vantage_point: &str, namespace: &str) {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.insert(vantage_point.to_owned(), namespace.to_owned());
    }

    /// Vantage points that some object names, each with its namespace. Those that nobody names any more are forgotten.
    pub fn vantage_points_in_use(&self) -> Vec<(String, String)> {
        let used: BTreeSet<String> = {
            let objects = self.objects();
            objects
                .values()
                .flat_map(|e| e.vantage_points.iter().cloned())
                .collect()
        };
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.retain(|point, _| used.contains(point));
        places.iter().map(|(p, n)| (p.clone(), n.clone())).collect()
    }

    /// How long until the next Lease that is alive now runs out unless it is renewed.
    pub fn until_next_expiry(&self) -> Option<Duration> {
        let now = Instant::now();
        let renewals = self.renewals.lock().unwrap_or_else(PoisonError::into_inner);
        let left = |r: &Renewal| r.lasts.checked_sub(now.saturating_duration_since(r.first_seen));
        renewals.values().filter(|r| r.alive_at_first).filter_map(left).min()
    }

    fn change(&self, uid: &str, change: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.objects().get_mut(uid) {
            change(entry);
        }
    }

    fn objects(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Leases that nobody asks about any more must not pile up.
fn forget_old(renewals: &mut HashMap<(String, String), Renewal>, now: Instant) {
    const MANY: usize = 256;
    const OLD: Duration = Duration::from_secs(24 * 3600);
    if renewals.len() > MANY {
        renewals.retain(|_, renewal| now.saturating_duration_since(renewal.last_look) < OLD);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DURATION: Duration = Duration::from_secs(30);
    const SLACK: Duration = Duration::from_secs(60);

    fn key() -> ObjectKey {
        ObjectKey {
            namespace: "ml".into(),
            name: "contoso".into(),
        }
    }

    fn wall(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_loss_counts_from_the_first_visit_that_saw_it_and_anew_after_one_that_did_not() {
        let memories = Memories::default();
        memories.meet("u", key());
        let lost_for = || memories.recall("u").lost_for;
        assert_eq!(lost_for(), None);
        for seconds in [0, 20, 40] {
            memories.path_is_lost("u", true);
            assert_eq!(lost_for(), Some(Duration::from_secs(seconds)));
            tokio::time::advance(Duration::from_secs(20)).await;
        }
        memories.path_is_lost("u", false);
        assert_eq!(lost_for(), None);
        memories.path_is_lost("u", true);
        assert_eq!(lost_for(), Some(Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn a_rounds_age_counts_from_the_instant_before_its_first_write() {
        let memories = Memories::default();
        memories.meet("u", key());
        let opened = Moment::now();
        tokio::time::advance(Duration::from_secs(3)).await;
        memories.open_round("u", 7, Digest::of_bytes(b"subject"), opened);
        tokio::time::advance(Duration::from_secs(4)).await;
        let round = memories.recall("u").round.unwrap();
        assert_eq!((round.number, round.age), (7, Duration::from_secs(7)));
        memories.drop_round("u");
        assert_eq!(memories.recall("u").round, None);
    }

    #[test]
    fn a_suspended_machine_does_not_keep_evidence_fresh_and_a_clock_set_back_does_not_either() {
        let opened = Moment::now();
        let round = OpenRound {
            number: 7,
            subject: Digest::of_bytes(b"subject"),
            opened,
        };
        let after = |monotonic: u64, wall: i64| {
            let then = opened.earliest + Duration::from_secs(monotonic);
            let wall = opened.wall + jiff::SignedDuration::from_secs(wall);
            round.age(Moment {
                earliest: then,
                wall,
                latest: then,
            })
        };
        assert_eq!(after(5, 3605), Duration::from_secs(3605), "suspended for an hour");
        assert_eq!(after(700, -3600), Duration::from_secs(700), "set back by an hour");
    }

    #[tokio::test(start_paused = true)]
    async fn name_changes_count_from_first_sight_and_then_from_the_latest() {
        let memories = Memories::default();
        assert_eq!(memories.recall("u").since_name_change, None);
        memories.meet("u", key());
        tokio::time::advance(Duration::from_secs(100)).await;
        memories.meet("u", key());
        assert_eq!(memories.recall("u").since_name_change, Some(Duration::from_secs(100)));
        memories.names_changed("u");
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(memories.recall("u").since_name_change, Some(Duration::from_secs(5)));
    }

    #[tokio::test(start_paused = true)]
    async fn an_endpoint_that_becomes_ready_later_is_a_name_change_too() {
        let id: ArmId = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/net/providers/Microsoft.Network/privateEndpoints/e".parse().unwrap();
        let seen = |text: &str| BTreeMap::from([(id.clone(), Digest::of_bytes(text.as_bytes()))]);
        let memories = Memories::default();
        memories.meet("u", key());
        memories.names_seen("u", seen("updating"));
        tokio::time::advance(Duration::from_secs(600)).await;
        memories.names_seen("u", seen("updating"));
        memories.names_seen("u", BTreeMap::new());
        assert_eq!(
            memories.recall("u").since_name_change,
            Some(Duration::from_secs(600)),
            "nothing changed yet"
        );
        memories.names_seen("u", seen("succeeded"));
        assert_eq!(memories.recall("u").since_name_change, Some(Duration::ZERO));
    }

    #[test]
    fn a_forgotten_object_leaves_nothing_behind() {
        let memories = Memories::default();
        memories.meet("u", key());
        memories.looks_from("u", ["hub".to_owned()].into());
        assert_eq!(memories.looking_from("hub"), vec![key()]);
        assert_eq!(memories.key_of("u"), Some(key()));
        memories.forget("u");
        memories.open_round("u", 1, Digest::of_bytes(b""), Moment::now());
        assert!(memories.is_empty() && memories.looking_from("hub").is_empty());
        assert_eq!(memories.recall("u"), Memory::default());
    }

    #[tokio::test(start_paused = true)]
    async fn an_agent_is_silent_once_its_lease_stands_still_for_longer_than_it_lasts() {
        let memories = Memories::default();
        let look =
            |renewed, now| memories.is_renewed(("hub", "vantage-point-hub"), wall(renewed), DURATION, wall(now), SLACK);
        assert!(look(0, 1));
        tokio::time::advance(Duration::from_secs(29)).await;
        assert!(look(0, 30));
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(!look(0, 32));
        assert!(look(33, 34), "it renews again");
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_the_next_lease_is_known() {
        let memories = Memories::default();
        assert_eq!(memories.until_next_expiry(), None);
        memories.is_renewed(("hub", "l"), wall(0), DURATION, wall(1), SLACK);
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(memories.until_next_expiry(), Some(Duration::from_secs(20)));
        tokio::time::advance(Duration::from_secs(21)).await;
        assert_eq!(memories.until_next_expiry(), None, "it has run out");
    }

    #[test]
    fn vantage_points_that_nobody_names_are_not_watched() {
        let memories = Memories::default();
        memories.meet("u", key());
        memories.vantage_point_is_in("hub", "hub-agent");
        assert!(memories.vantage_points_in_use().is_empty());
        memories.looks_from("u", ["hub".to_owned()].into());
        memories.vantage_point_is_in("hub", "hub-agent");
        assert_eq!(
            memories.vantage_points_in_use(),
            [("hub".to_owned(), "hub-agent".to_owned())]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn wall_clocks_count_only_where_nothing_was_watched() {
        let memories = Memories::default();
        let look = |renewed, now| memories.is_renewed(("hub", "l"), wall(renewed), DURATION, wall(now), SLACK);
        assert!(!look(0, 10_000), "an old value at first sight is an old lease");
        tokio::time::advance(Duration::from_secs(10)).await;
        assert!(
            look(10, 10_010),
            "a clock that is hours behind, but it moves while we watch"
        );
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert!(!look(20, 13_610), "moved once in an hour: nobody knows when");
        tokio::time::advance(Duration::from_secs(10)).await;
        assert!(!look(20, 13_620), "what was judged silent stays so until it moves");
    }
}
