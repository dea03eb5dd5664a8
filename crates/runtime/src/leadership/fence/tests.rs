//! The fence by example, under paused time, and by law: over any history of renewals, reads and thefts it never holds longer
//! than the Lease does for anybody else, and never comes back.

use proptest::prelude::*;
use tokio::time::advance;

use super::*;

const MARGIN: Duration = Duration::from_secs(5);
const DURATION: Duration = Duration::from_secs(30);

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// Wall time that goes with tokio's paused clock.
struct Clock {
    started: Instant,
    offset: i64,
}

impl Clock {
    fn new() -> Self {
        Clock {
            started: Instant::now(),
            offset: 0,
        }
    }

    fn moment(&self) -> Moment {
        let now = Instant::now();
        Moment {
            earliest: now,
            wall: self.wall_at(now),
            latest: now,
        }
    }

    fn wall_at(&self, instant: Instant) -> Timestamp {
        let origin = Timestamp::from_second(1_795_000_000 + self.offset).unwrap();
        origin.checked_add(instant - self.started).unwrap()
    }
}

fn held(holder: &str, renewed: Timestamp) -> Reading {
    Reading {
        holder: Some(holder.into()),
        renewed: Some(renewed),
        duration: Some(DURATION),
    }
}

fn free() -> Reading {
    Reading::default()
}

/// A fence whose first read showed a free Lease and whose second, a second later, that we renewed it in between.
async fn raised(clock: &Clock) -> Fence {
    let mut fence = Fence::new("me", MARGIN);
    fence.learn(Instant::now(), &free(), clock.moment());
    advance(seconds(1)).await;
    let renewed = clock.moment().wall;
    fence.learn(Instant::now(), &held("me", renewed), clock.moment());
    fence
}

#[tokio::test(start_paused = true)]
async fn it_holds_from_just_before_the_read_that_still_showed_the_old_value() {
    let clock = Clock::new();
    let mut fence = raised(&clock).await;
    // 30 − 5 from the first read, which was a second ago.
    assert_eq!(fence.held_for(clock.moment()), Some(seconds(24)));
    advance(Duration::from_millis(23_999)).await;
    assert_eq!(fence.held_for(clock.moment()), Some(Duration::from_millis(1)));
    assert_eq!(fence.lapse(), None);
}

#[tokio::test(start_paused = true)]
async fn a_first_read_that_shows_us_says_nothing_of_its_age() {
    let clock = Clock::new();
    let mut fence = Fence::new("me", MARGIN);
    let renewed = clock.moment().wall;
    fence.learn(Instant::now(), &held("me", renewed), clock.moment());
    assert_eq!(fence.held_for(clock.moment()), None);
    // Nor does the same value again; the next renewal does.
    advance(seconds(1)).await;
    fence.learn(Instant::now(), &held("me", renewed), clock.moment());
    assert_eq!(fence.held_for(clock.moment()), None);
    advance(seconds(1)).await;
    fence.learn(Instant::now(), &held("me", clock.moment().wall), clock.moment());
    assert_eq!(fence.held_for(clock.moment()), Some(seconds(24)));
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_is_older_than_the_previous_read_counts_from_when_it_was_written() {
    let clock = Clock::new();
    let mut fence = Fence::new("me", MARGIN);
    let written = clock.moment().wall;
    advance(seconds(10)).await;
    // A lagging replica answered: the renewal was made long before.
    fence.learn(Instant::now(), &free(), clock.moment());
    fence.learn(Instant::now(), &held("me", written), clock.moment());
    assert_eq!(fence.held_for(clock.moment()), Some(seconds(15)));
}

#[tokio::test(start_paused = true)]
async fn a_renewal_in_the_future_of_our_clock_counts_from_the_previous_read() {
    let clock = Clock::new();
    let mut fence = Fence::new("me", MARGIN);
    fence.learn(Instant::now(), &free(), clock.moment());
    advance(seconds(2)).await;
    let ahead = clock.moment().wall.checked_add(seconds(60)).unwrap();
    fence.learn(Instant::now(), &held("me", ahead), clock.moment());
    assert_eq!(fence.held_for(clock.moment()), Some(seconds(23)));
}

#[tokio::test(start_paused = true)]
async fn reads_that_show_no_renewal_let_it_run_down_and_renewals_raise_it() {
    let clock = Clock::new();
    let mut fence = raised(&clock).await;
    let first = clock.moment().wall;
    advance(seconds(10)).await;
    fence.learn(Instant::now(), &held("me", first), clock.moment());
    assert_eq!(fence.held_for(clock.moment()), Some(seconds(14)));
    advance(seconds(1)).await;
    fence.learn(Instant::now(), &held("me", clock.moment().wall), clock.moment());
    assert_eq!(fence.held_for(clock.moment()), Some(seconds(24)));
}

#[tokio::test(start_paused = true)]
async fn an_extension_learnt_too_late_does_not_revive_it() {
    let clock = Clock::new();
    let mut fence = raised(&clock).await;
    advance(seconds(24)).await;
    fence.learn(Instant::now(), &held("me", clock.moment().wall), clock.moment());
    assert_eq!(fence.held_for(clock.moment()), None);
    assert_eq!(fence.lapse(), Some(&Lapse::Expired));
    advance(seconds(1)).await;
    fence.learn(Instant::now(), &held("me", clock.moment().wall), clock.moment());
    assert_eq!(fence.held_for(clock.moment()), None);
}

#[tokio::test(start_paused = true)]
async fn another_holder_or_none_ends_it_at_once_and_for_good() {
    let clock = Clock::new();
    for (shows, lapse) in [
        (held("you", clock.moment().wall), Lapse::Taken("you".into())),
        (free(), Lapse::Cleared),
    ] {
        let mut fence = raised(&clock).await;
        fence.learn(Instant::now(), &shows, clock.moment());
        assert_eq!(fence.held_for(clock.moment()), None);
        advance(seconds(1)).await;
        fence.learn(Instant::now(), &held("me", clock.moment().wall), clock.moment());
        assert_eq!(fence.held_for(clock.moment()), None);
        assert_eq!(fence.lapse(), Some(&lapse));
    }
}

#[tokio::test(start_paused = true)]
async fn a_standby_never_lapses() {
    let clock = Clock::new();
    let mut fence = Fence::new("me", MARGIN);
    for _ in 0..100 {
        fence.learn(Instant::now(), &held("you", clock.moment().wall), clock.moment());
        assert_eq!(fence.held_for(clock.moment()), None);
        advance(seconds(20)).await;
    }
    assert_eq!(fence.lapse(), None);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_was_set_and_a_suspended_process_count_as_lapsed() {
    for jump in [-3600, -2, 2, 3600] {
        let mut clock = Clock::new();
        let mut fence = raised(&clock).await;
        clock.offset = jump;
        assert_eq!(fence.held_for(clock.moment()), None, "{jump}");
        assert_eq!(fence.lapse(), Some(&Lapse::ClockJumped));
    }
}

#[tokio::test(start_paused = true)]
async fn a_preempted_process_is_not_mistaken_for_one_whose_clock_was_set() {
    let clock = Clock::new();
    let fence = raised(&clock).await;
    let before = clock.moment();
    advance(seconds(6)).await;
    // Six seconds passed between reading the one clock and the other, before the wall clock was read or after.
    for wall in [before.wall, clock.moment().wall] {
        let slow = Moment {
            earliest: before.earliest,
            wall,
            latest: Instant::now(),
        };
        assert_eq!(fence.clone().held_for(slow), Some(seconds(18)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_shorter_than_the_margin_is_never_relied_on() {
    let clock = Clock::new();
    let mut fence = Fence::new("me", MARGIN);
    fence.learn(Instant::now(), &free(), clock.moment());
    let short = Reading {
        duration: Some(seconds(4)),
        ..held("me", clock.moment().wall)
    };
    fence.learn(Instant::now(), &short, clock.moment());
    assert_eq!(fence.held_for(clock.moment()), None);
    assert_eq!(fence.lapse(), None);
}

#[tokio::test(start_paused = true)]
async fn what_was_given_up_is_down_at_once() {
    let clock = Clock::new();
    let mut fence = raised(&clock).await;
    fence.resign();
    assert_eq!(fence.held_for(clock.moment()), None);
    assert_eq!(fence.held_until(), None);
}

/// One thing that happens to the Lease or to us.
#[derive(Debug, Clone)]
enum Event {
    /// Our renewal is written now and lands after this long; until then no other is written.
    Renew { lands: u64 },
    /// A read is sent now; it looks at the Lease and comes back after these.
    Read { looks: u64, returns: u64 },
    /// Somebody clears the Lease.
    Clear,
    /// Somebody takes it.
    Steal,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (0..8_000_u64).prop_map(|lands| Event::Renew { lands }),
        8 => (0..3_000_u64, 0..3_000_u64).prop_map(|(looks, returns)| Event::Read { looks, returns }),
        1 => Just(Event::Clear),
        1 => Just(Event::Steal),
    ]
}

/// The Lease on the server, in milliseconds since the start.
#[derive(Debug, Clone, Default)]
struct World {
    /// Who holds it, and when the renewal that it shows was written.
    shown: Option<(&'static str, u64)>,
    /// Our renewal under way: written, lands. Without a precondition: it overwrites whatever is there.
    under_way: Option<(u64, u64)>,
}

impl World {
    fn at(&mut self, now: u64) -> &Self {
        if let Some((written, _)) = self.under_way.take_if(|(_, lands)| *lands <= now) {
            self.shown = Some(("me", written));
        }
        self
    }

    fn read(&mut self, now: u64, wall: impl Fn(u64) -> Timestamp) -> Reading {
        self.at(now)
            .shown
            .map_or_else(free, |(holder, written)| held(holder, wall(written)))
    }
}

proptest! {
    /// For whoever else reads the Lease it expires at `renewTime` + duration. The fence must be down `margin` before that,
    /// whatever was read when, and must not come back once it has been down.
    #[test]
    fn it_never_outlives_the_lease_and_never_comes_back(
        history in prop::collection::vec((0..6_000_u64, event()), 1..60),
    ) {
        let started = Instant::now();
        let at = |millis: u64| started + Duration::from_millis(millis);
        let origin = Timestamp::from_second(1_795_000_000).unwrap();
        let wall = |millis: u64| origin.checked_add(Duration::from_millis(millis)).unwrap();
        let moment = |millis: u64| Moment { earliest: at(millis), wall: wall(millis), latest: at(millis) };

        let mut fence = Fence::new("me", MARGIN);
        let mut world = World::default();
        let (mut now, mut was_up, mut came_down) = (0, false, false);
        for (pause, event) in history {
            now += pause;
            match event {
                Event::Renew { lands } => {
                    world.at(now);
                    world.under_way.get_or_insert((now, now + lands));
                }
                Event::Read { looks, returns } => {
                    let asked = at(now);
                    let reading = world.read(now + looks, wall);
                    now += looks + returns;
                    fence.learn(asked, &reading, moment(now));
                }
                Event::Clear => {
                    world.at(now);
                    world.shown = None;
                }
                Event::Steal => {
                    world.at(now);
                    world.shown = Some(("you", now));
                }
            }
            // Asked after every event, as `act` would.
            match fence.held_for(moment(now)) {
                Some(left) => {
                    prop_assert!(!came_down, "it came back");
                    was_up = true;
                    if let Some(("me", written)) = world.at(now).shown {
                        prop_assert!(at(now) + left <= at(written) + DURATION - MARGIN, "it outlives the lease");
                    }
                }
                None => came_down = was_up,
            }
        }
    }

    /// With reads every second and renewals that land within a few, the fence stays up for as long as we like.
    #[test]
    fn it_stays_up_while_renewals_land_in_time(
        landings in prop::collection::vec(0..3_000_u64, 5..20),
        delays in prop::collection::vec(0..400_u64, 1..8),
    ) {
        let started = Instant::now();
        let at = |millis: u64| started + Duration::from_millis(millis);
        let origin = Timestamp::from_second(1_795_000_000).unwrap();
        let wall = |millis: u64| origin.checked_add(Duration::from_millis(millis)).unwrap();
        let moment = |millis: u64| Moment { earliest: at(millis), wall: wall(millis), latest: at(millis) };
        let mut fence = Fence::new("me", MARGIN);
        let mut world = World::default();
        fence.learn(started, &world.read(0, wall), moment(0));
        let mut delays = delays.into_iter().cycle();
        for (round, landing) in landings.into_iter().enumerate() {
            // Renewed every ten seconds.
            let begun = 10_000 * u64::try_from(round).unwrap();
            world.under_way = Some((begun, begun + landing));
            for second in 0..10 {
                let asked = begun + 1_000 * second + 10;
                let answered = asked + delays.next().unwrap();
                let reading = world.read(answered, wall);
                fence.learn(at(asked), &reading, moment(answered));
                let up = fence.held_for(moment(answered)).is_some();
                prop_assert!(up || (round == 0 && second < 5), "down after {answered} ms");
            }
        }
    }
}
