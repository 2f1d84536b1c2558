//! A mutex that works between processes: POSIX's, in memory that they share. All that is
//! unsafe about it stands here.

use nix::errno::Errno;
use nix::libc::{self, CLOCK_REALTIME, c_int, pthread_mutex_t, pthread_mutexattr_t, timespec};
use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous, munmap};
use nix::time::{ClockId, clock_gettime};
use std::cell::UnsafeCell;
use std::mem::MaybeUninit;
use std::num::NonZeroUsize;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::time::Duration;

/// What becomes of it when its owner dies.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It is never released.
    Default,
    /// The next one gets it, and is told (`pthread_mutexattr_setrobust`(3)).
    Robust,
}

/// A number, and the mutex for it, in a mapping that the children of this process share.
/// (It holds a pointer, so it cannot be sent to another thread, nor shared with one.)
pub struct SharedMutex(NonNull<Place>);

/// What lies in the mapping.
struct Place {
    mutex: UnsafeCell<pthread_mutex_t>,
    value: UnsafeCell<i64>,
}

/// Not zero: the compiler looks, and would not build it otherwise.
const SIZE: NonZeroUsize = NonZeroUsize::new(size_of::<Place>()).unwrap();

impl SharedMutex {
    /// A mutex that is free, for a number that is 0.
    ///
    /// # Errors
    /// When the system refuses the memory, or knows no such mutex.
    pub fn new(kind: Kind) -> nix::Result<Self> {
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: the kernel chooses a place where nothing is mapped, so no other
        // memory of this process changes.
        let mapped = unsafe { mmap_anonymous(None, SIZE, access, MapFlags::MAP_SHARED) }?;
        // The mapping begins at a page, so it is aligned for a Place, and is as large.
        let shared = Self(mapped.cast());
        let mut attributes = MaybeUninit::<pthread_mutexattr_t>::uninit();
        let attributes = attributes.as_mut_ptr();
        // SAFETY: `attributes` is writable, and initialised by the first call before the
        // others use it. The mutex lies in the mapping, which `shared` keeps, and no
        // other process or thread knows of it yet. (The number is 0: new pages are.)
        unsafe {
            done(libc::pthread_mutexattr_init(attributes))?;
            let set = done(libc::pthread_mutexattr_setpshared(
                attributes,
                libc::PTHREAD_PROCESS_SHARED,
            ))
            .and_then(|()| match kind {
                Kind::Default => Ok(()),
                Kind::Robust => done(libc::pthread_mutexattr_setrobust(
                    attributes,
                    libc::PTHREAD_MUTEX_ROBUST,
                )),
            })
            .and_then(|()| done(libc::pthread_mutex_init(shared.mutex(), attributes)));
            libc::pthread_mutexattr_destroy(attributes);
            set?;
        }
        Ok(shared)
    }

    fn mutex(&self) -> *mut pthread_mutex_t {
        // SAFETY: the mapping stays until `self` is dropped. Only UnsafeCells are in it,
        // so a reference to it claims nothing of what other processes may change.
        unsafe { self.0.as_ref() }.mutex.get()
    }

    /// Waits until it is free.
    ///
    /// # Errors
    /// When it is of no more use, since a guard of a dead owner's was not repaired.
    pub fn lock(&self) -> nix::Result<Guard<'_>> {
        // SAFETY: `new` has initialised it, and nobody destroys it.
        self.locked(unsafe { libc::pthread_mutex_lock(self.mutex()) })
    }

    /// Waits until it is free, for so long at most; then the error is ETIMEDOUT.
    ///
    /// # Errors
    /// As for [`lock`](Self::lock).
    pub fn lock_for(&self, limit: Duration) -> nix::Result<Guard<'_>> {
        let end = Duration::from(clock_gettime(ClockId::from_raw(CLOCK_REALTIME))?) + limit;
        let end: timespec = *nix::sys::time::TimeSpec::from(end).as_ref();
        // SAFETY: as in `lock`; `end` is there until the call returns.
        self.locked(unsafe { libc::pthread_mutex_timedlock(self.mutex(), &raw const end) })
    }

    fn locked(&self, returned: c_int) -> nix::Result<Guard<'_>> {
        let owner_died = returned == libc::EOWNERDEAD; // and yet it is locked
        if !owner_died {
            done(returned)?;
        }
        Ok(Guard {
            shared: self,
            owner_died,
        })
    }
}

/// A pthread function returns 0 or the number of an error.
fn done(returned: c_int) -> nix::Result<()> {
    match returned {
        0 => Ok(()),
        error => Err(Errno::from_raw(error)),
    }
}

impl Drop for SharedMutex {
    fn drop(&mut self) {
        // SAFETY: mapped by mmap with that size; every guard has borrowed `self`. The
        // mutex is not destroyed: another process may hold it. (On Linux it owns nothing.)
        let _ = unsafe { munmap(self.0.cast(), SIZE.get()) };
    }
}

/// The number, while the mutex is held. Dropped, it is released.
pub struct Guard<'a> {
    shared: &'a SharedMutex,
    owner_died: bool,
}

impl Guard<'_> {
    /// Whether the one who held it before has died with it: what it protects may be
    /// half changed.
    pub fn owner_died(&self) -> bool {
        self.owner_died
    }

    /// What it protects is in order again. Without this, nobody can lock it any more
    /// (`pthread_mutex_consistent`(3)).
    ///
    /// # Errors
    /// When its last owner had not died.
    pub fn repaired(&mut self) -> nix::Result<()> {
        // SAFETY: this thread holds it, since there is a guard, which stays in its thread.
        done(unsafe { libc::pthread_mutex_consistent(self.shared.mutex()) })
    }
}

impl Deref for Guard<'_> {
    type Target = i64;

    fn deref(&self) -> &i64 {
        // SAFETY: the mapping stays while `shared` is borrowed; any bits are a number; and
        // who has no guard neither reads nor writes it, in any process: there is but one
        // guard at a time, since the mutex is locked.
        unsafe { &*self.shared.0.as_ref().value.get() }
    }
}

impl DerefMut for Guard<'_> {
    fn deref_mut(&mut self) -> &mut i64 {
        // SAFETY: as in `deref`; and this is the only guard, borrowed mutably.
        unsafe { &mut *self.shared.0.as_ref().value.get() }
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        // SAFETY: this thread has locked it, and a guard is dropped once.
        unsafe { libc::pthread_mutex_unlock(self.shared.mutex()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_guard_at_a_time() {
        for kind in [Kind::Default, Kind::Robust] {
            let shared = SharedMutex::new(kind).expect("a mutex");
            let mut guard = shared.lock().expect("it is free");
            *guard += 7;
            let other = shared.lock_for(Duration::from_millis(1)).map(|_| ());
            assert_eq!(other, Err(Errno::ETIMEDOUT));
            drop(guard);
            let guard = shared.lock_for(Duration::from_secs(60));
            assert_eq!(
                guard.map(|guard| (*guard, guard.owner_died())),
                Ok((7, false))
            );
        }
    }

    #[test]
    fn what_no_owner_left_needs_no_repair() {
        let shared = SharedMutex::new(Kind::Robust).expect("a mutex");
        let mut guard = shared.lock().expect("it is free");
        assert_eq!(guard.repaired(), Err(Errno::EINVAL));
    }

    #[test]
    fn a_thread_that_ends_with_it_is_a_dead_owner() {
        let shared = SharedMutex::new(Kind::Robust).expect("a mutex");
        let address = shared.0.as_ptr() as usize;
        let thread = std::thread::spawn(move || {
            let place = NonNull::new(address as *mut Place).expect("an address");
            // Neither may be dropped: the mapping is the other one's.
            let shared = std::mem::ManuallyDrop::new(SharedMutex(place));
            let mut guard = std::mem::ManuallyDrop::new(shared.lock().expect("it is free"));
            **guard = 3; // half of a change
        });
        thread.join().expect("no panic");
        let mut guard = shared.lock().expect("the owner has died");
        assert!(guard.owner_died());
        *guard *= 2;
        guard.repaired().expect("this one holds it");
        drop(guard);
        let guard = shared.lock().map(|guard| (*guard, guard.owner_died()));
        assert_eq!(guard, Ok((6, false)));
    }

    #[test]
    fn what_is_not_repaired_is_lost() {
        let shared = SharedMutex::new(Kind::Robust).expect("a mutex");
        let address = shared.0.as_ptr() as usize;
        let thread = std::thread::spawn(move || {
            let place = NonNull::new(address as *mut Place).expect("an address");
            let shared = std::mem::ManuallyDrop::new(SharedMutex(place));
            std::mem::forget(shared.lock().expect("it is free"));
        });
        thread.join().expect("no panic");
        drop(shared.lock().expect("the owner has died"));
        assert_eq!(shared.lock().map(|_| ()), Err(Errno::ENOTRECOVERABLE));
    }
}
