//! Pools of numbers in place of environments: who gets which, who waits, and for how long.

use futures::{FutureExt, future::BoxFuture};

use super::*;

const AN_HOUR: Duration = Duration::from_secs(3600);

fn pool(most: usize) -> Pool<u32> {
    Pool::new(NonZeroUsize::new(most).expect("not zero"), Duration::from_secs(60))
}

fn key(name: &str) -> Key {
    Key {
        function_arn: name.to_owned(),
        version: "1".to_owned(),
        revision: "a".to_owned(),
        network: Network::Host,
    }
}

/// A pool of 4 environments of a quick function, of which 2 are a crowd.
async fn crowded(of_late: Duration) -> Pool<u32> {
    let mut pool = pool(4);
    pool.crowd = Crowd { size: 2, of_late };
    let mut leases = Vec::new();
    for number in 0..4 {
        let (lease, acquired) = pool.acquire(key("f")).await.expect("a place");
        assert!(matches!(acquired, Acquired::Start { evicted: None }), "as many start as are asked for");
        leases.push((number, lease));
    }
    for (number, mut lease) in leases {
        assert_eq!(lease.give_back(number), None);
    }
    for _ in 0..64 {
        let (mut lease, number) = warm(pool.acquire(key("f")).await);
        assert_eq!(lease.give_back(number), None);
    }
    pool
}

type Got<'a> = Result<(Lease<'a, u32>, Acquired<u32>), SandboxError>;

/// A call of a function that has to wait.
fn waits<'a>(pool: &'a Pool<u32>, name: &str) -> BoxFuture<'a, Got<'a>> {
    let mut call = pool.acquire(key(name)).boxed();
    assert!((&mut call).now_or_never().is_none());
    call
}

/// What a call has that got an environment at once.
fn warm(acquired: Got<'_>) -> (Lease<'_, u32>, u32) {
    match acquired {
        Ok((lease, Acquired::Warm(number))) => (lease, number),
        _ => panic!("no environment that has run before"),
    }
}

#[tokio::test]
async fn who_has_waited_longest_comes_first_and_nobody_overtakes() {
    let pool = pool(1);
    let (first, _) = pool.acquire(key("f")).await.expect("a place");
    let second = waits(&pool, "g");
    let mut third = waits(&pool, "f");
    drop(first);
    // It comes when there is room, and others wait for it.
    let mut fourth = waits(&pool, "f");
    assert!((&mut third).now_or_never().is_none());
    let (second, _) = second.now_or_never().expect("its turn").expect("a place");
    drop(second);
    assert!((&mut fourth).now_or_never().is_none());
    let (third, _) = third.now_or_never().expect("its turn").expect("a place");
    drop(third);
    fourth.now_or_never().expect("its turn").expect("a place");
    let state = pool.state();
    assert_eq!((state.alive, state.waiting()), (0, 0));
}

#[tokio::test]
async fn who_gives_up_passes_its_turn_on() {
    let pool = pool(1);
    let (first, _) = pool.acquire(key("f")).await.expect("a place");
    let second = waits(&pool, "f");
    let third = waits(&pool, "f");
    drop(first);
    drop(second);
    third.now_or_never().expect("its turn").expect("a place");
}

#[tokio::test]
async fn as_many_come_as_there_is_room_for() {
    let pool = pool(2);
    let leases =
        [pool.acquire(key("f")).await.expect("a place"), pool.acquire(key("f")).await.expect("a place")];
    let mut waiting: Vec<_> = (0..3).map(|_| waits(&pool, "f")).collect();
    drop(leases);
    let mut got: Vec<_> = waiting.iter_mut().map(FutureExt::now_or_never).collect();
    assert!(got[0].is_some() && got[1].is_some() && got[2].is_none());
    got.clear();
    waiting.pop().and_then(FutureExt::now_or_never).expect("its turn").expect("a place");
}

#[tokio::test]
async fn a_pool_that_closes_sends_away_who_waits() {
    let pool = pool(1);
    let (first, _) = pool.acquire(key("f")).await.expect("a place");
    let second = waits(&pool, "f");
    assert!(pool.close().is_empty());
    assert!(matches!(second.now_or_never(), Some(Err(SandboxError::ShuttingDown))));
    let mut empty = Box::pin(pool.empty());
    assert!((&mut empty).now_or_never().is_none());
    drop(first);
    empty.now_or_never().expect("no environment is left");
}

#[tokio::test]
async fn a_quick_call_waits_for_a_busy_environment_where_enough_are_busy() {
    let pool = crowded(AN_HOUR).await;
    let (mut first, number) = warm(pool.acquire(key("f")).await);
    let (second, _) = warm(pool.acquire(key("f")).await);
    let third = waits(&pool, "f");
    let mut fourth = waits(&pool, "f");
    // Another function's call does not wait for it.
    let mut other = Box::pin(pool.acquire(key("g")));
    let (_other, evicting) = (&mut other).now_or_never().expect("a place").expect("a place");
    assert!(matches!(evicting, Acquired::Start { evicted: Some(_) }));
    assert_eq!(first.give_back(number), None);
    let (_third, given) = warm(third.now_or_never().expect("its turn"));
    assert_eq!(given, number);
    assert!((&mut fourth).now_or_never().is_none());
    // With one busy environment less, who comes now has an idle one at once.
    drop(second);
    assert_eq!(pool.state().in_use(&key("f")), 1);
    let (_fifth, _) = warm(pool.acquire(key("f")).await);
}

#[tokio::test]
async fn who_waits_for_a_busy_environment_in_vain_has_an_idle_one() {
    let pool = crowded(Duration::from_millis(20)).await;
    let busy = [warm(pool.acquire(key("f")).await), warm(pool.acquire(key("f")).await)];
    let (_third, number) = warm(pool.acquire(key("f")).await);
    assert!(busy.iter().all(|(_, busy)| *busy != number));
}

#[tokio::test]
async fn what_is_given_to_who_has_gone_comes_back() {
    let pool = crowded(AN_HOUR).await;
    let (mut first, number) = warm(pool.acquire(key("f")).await);
    let (_second, _) = warm(pool.acquire(key("f")).await);
    let third = waits(&pool, "f");
    assert_eq!(first.give_back(number), None);
    drop(third);
    let state = pool.state();
    assert_eq!((state.leased.len(), state.idle[&key("f")].len(), state.alive), (1, 3, 4));
}

#[tokio::test]
async fn what_others_wait_for_is_not_handed_on() {
    let pool = crowded(AN_HOUR).await;
    let mut busy: Vec<_> = [warm(pool.acquire(key("f")).await), warm(pool.acquire(key("f")).await)].into();
    let mut turn = waits(&pool, "f");
    // The other two are evicted, so the machine is full of what is busy.
    let _others =
        [pool.acquire(key("g")).await.expect("a place"), pool.acquire(key("g")).await.expect("a place")];
    let other = waits(&pool, "g");
    let (mut lease, number) = busy.remove(0);
    assert_eq!(lease.give_back(number), None);
    let (_, acquired) = other.now_or_never().expect("its turn").expect("a place");
    assert!(matches!(acquired, Acquired::Start { evicted: Some(evicted) } if evicted == number));
    assert!((&mut turn).now_or_never().is_none());
}

#[tokio::test]
async fn who_waits_for_any_place_joins_who_waits_for_a_busy_one() {
    let pool = crowded(AN_HOUR).await;
    // Slow calls at first: all environments are busy, and two more calls wait.
    let mut busy = Vec::new();
    pool.state().turns.clear();
    for _ in 0..4 {
        busy.push(warm(pool.acquire(key("f")).await));
    }
    let mut waiting = [waits(&pool, "f"), waits(&pool, "f")];
    let mut turns = Turns::default();
    (0..32).for_each(|_| turns.came_back(Duration::ZERO, Instant::now()));
    pool.state().turns.insert(key("f"), turns);
    // Three others are busy, so this one rests, and both wait for one of the others.
    let (mut lease, number) = busy.remove(0);
    assert_eq!(lease.give_back(number), None);
    for one in &mut waiting {
        assert!(one.now_or_never().is_none());
    }
    assert_eq!(pool.state().waiting(), 0);
    assert_eq!(pool.state().idle[&key("f")].len(), 1);
    let (mut lease, resting) = busy.remove(0);
    assert_eq!(lease.give_back(resting), None);
    let (mut lease, number) = busy.remove(0);
    assert_eq!(lease.give_back(number), None);
    let [first, _second] = waiting;
    assert_eq!(warm(first.now_or_never().expect("its turn")).1, number);
}
