//! Plans by tag, bounded.
//!
//! Tags are few in a healthy house and endless in a broken one (a request id in the tag, a peer that means harm), so
//! the cache has a bound. It holds two generations: plans asked for lately, and those of the time before. A plan found
//! in the older one moves to the younger; when the younger is full it becomes the older, and what was old is let go.
//! Plans in use survive, the bound holds, and a hit costs one shared lock, one hash and one reference count.

use std::collections::HashMap;
use std::fmt;
use std::mem;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use foldhash::fast::RandomState;

type Plans<P> = HashMap<Box<[u8]>, Arc<P>, RandomState>;

/// Remembers the plan of each tag, up to a number of tags.
///
/// `P` is whatever the caller resolves a tag to. The cache may be shared between threads; its lock is
/// held for a look-up or an insertion and never while a plan is being built.
pub struct PlanCache<P> {
    generations: RwLock<Generations<P>>,
    /// Most tags in one generation; there are two.
    share: usize,
}

struct Generations<P> {
    young: Plans<P>,
    old: Plans<P>,
}

impl<P> PlanCache<P> {
    /// Tags remembered by [`PlanCache::default`].
    pub const DEFAULT_CAPACITY: usize = 10_000;

    /// Returns an empty cache that remembers at most `capacity` tags (two at least).
    pub fn new(capacity: usize) -> Self {
        Self {
            generations: RwLock::new(Generations { young: HashMap::default(), old: HashMap::default() }),
            share: (capacity / 2).max(1),
        }
    }

    /// Returns the plan of `tag`, building it if the tag is new (or was forgotten).
    ///
    /// Two threads that meet a new tag at once may both build; both then get the plan that was stored first.
    pub fn get_or_build(&self, tag: &[u8], build: impl FnOnce(&[u8]) -> P) -> Arc<P> {
        if let Some(plan) = self.read().young.get(tag) {
            return Arc::clone(plan);
        }
        if let Some(plan) = self.write().promote(tag, self.share) {
            return plan;
        }
        let built = Arc::new(build(tag));
        self.write().keep(tag, built, self.share)
    }

    /// The number of tags remembered now.
    pub fn len(&self) -> usize {
        let generations = self.read();
        generations.young.len() + generations.old.len()
    }

    /// Returns whether no tag is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets every tag, as a new configuration asks for.
    pub fn clear(&self) {
        let mut generations = self.write();
        generations.young.clear();
        generations.old.clear();
    }

    // Nothing panics while a lock is held except for want of memory, so a poisoned lock still guards whole maps.
    fn read(&self) -> RwLockReadGuard<'_, Generations<P>> {
        self.generations.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Generations<P>> {
        self.generations.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<P> Generations<P> {
    /// Finds a plan in either generation and makes it young.
    fn promote(&mut self, tag: &[u8], share: usize) -> Option<Arc<P>> {
        if let Some(plan) = self.young.get(tag) {
            return Some(Arc::clone(plan));
        }
        let (tag, plan) = self.old.remove_entry(tag)?;
        self.insert(tag, Arc::clone(&plan), share);
        Some(plan)
    }

    /// Stores a plan, unless another thread was quicker.
    fn keep(&mut self, tag: &[u8], plan: Arc<P>, share: usize) -> Arc<P> {
        if let Some(earlier) = self.promote(tag, share) {
            return earlier;
        }
        self.insert(tag.into(), Arc::clone(&plan), share);
        plan
    }

    fn insert(&mut self, tag: Box<[u8]>, plan: Arc<P>, share: usize) {
        if self.young.len() >= share {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(tag, plan);
    }
}

impl<P> Default for PlanCache<P> {
    fn default() -> Self {
        Self::new(Self::DEFAULT_CAPACITY)
    }
}

impl<P> fmt::Debug for PlanCache<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlanCache").field("tags", &self.len()).field("capacity", &(2 * self.share)).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_known_tag_is_not_built_again() {
        let cache = PlanCache::default();
        let first = cache.get_or_build(b"app", |tag| tag.len());
        let again = cache.get_or_build(b"app", |_| unreachable!("the plan is known"));
        assert!(Arc::ptr_eq(&first, &again));
        assert_eq!(cache.len(), 1);
    }

    #[test]
    fn endless_tags_stay_within_the_bound() {
        let cache = PlanCache::new(100);
        for n in 0..10_000_u32 {
            cache.get_or_build(&n.to_be_bytes(), |_| n);
            assert!(cache.len() <= 100);
        }
    }

    #[test]
    fn a_tag_in_use_outlives_a_flood_of_others() {
        let cache = PlanCache::new(100);
        let built = AtomicUsize::new(0);
        let count = |_: &[u8]| built.fetch_add(1, Ordering::Relaxed);
        for n in 0..10_000_u32 {
            cache.get_or_build(b"app", count);
            cache.get_or_build(&n.to_be_bytes(), |_| 0);
        }
        assert_eq!(built.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn clearing_forgets_every_tag() {
        let cache = PlanCache::default();
        cache.get_or_build(b"app", |_| 1);
        cache.clear();
        assert!(cache.is_empty());
        assert_eq!(*cache.get_or_build(b"app", |_| 2), 2);
    }

    #[test]
    fn threads_that_build_at_once_get_one_plan() {
        let cache = PlanCache::default();
        let (threads, start) = (8, Barrier::new(8));
        let plans: Vec<_> = std::thread::scope(|scope| {
            let ask = || {
                start.wait();
                cache.get_or_build(b"app", |tag| tag.to_vec())
            };
            let handles: Vec<_> = (0..threads).map(|_| scope.spawn(ask)).collect();
            handles.into_iter().map(|h| h.join().unwrap()).collect()
        });
        assert!(plans.iter().all(|plan| Arc::ptr_eq(plan, &plans[0])));
    }

    #[test]
    fn a_plan_may_be_built_with_the_help_of_another() {
        let cache = PlanCache::default();
        let plan = cache.get_or_build(b"outer", |_| *cache.get_or_build(b"inner", |_| 1) + 1);
        assert_eq!((*plan, cache.len()), (2, 2));
    }

    proptest! {
        #[test]
        fn every_tag_gets_its_own_plan_within_any_bound(
            capacity in 0..12_usize,
            tags in proptest::collection::vec(0..20_u8, 0..200),
        ) {
            let cache = PlanCache::new(capacity);
            for tag in tags {
                prop_assert_eq!(*cache.get_or_build(&[tag], |tag| tag[0]), tag);
                prop_assert!(cache.len() <= capacity.max(2));
            }
        }
    }
}
