//! Memory that several processes share: the unsafe part.

use nix::libc::c_void;
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use nix::sys::stat::fstat;
use nix::unistd::ftruncate;
use shared_core::{Context, Result, ensure};
use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::ptr::NonNull;
use std::sync::atomic::AtomicI64;

/// Not zero: the compiler looks, and would not build it otherwise.
const SIZE: NonZeroUsize = NonZeroUsize::new(size_of::<AtomicI64>()).unwrap();

/// A number in memory that belongs to a file without a name, not to a process. Who
/// has the file can map it into his own memory.
pub struct SharedNumber {
    file: OwnedFd,
    address: NonNull<c_void>,
}

impl SharedNumber {
    /// A new number, which is 0.
    pub fn new() -> Result<Self> {
        let file = unnamed_file().context("failed to make a file in memory")?;
        ftruncate(&file, SIZE.get().try_into()?).context("failed to give a file a size")?;
        Self::of(file)
    }

    /// The number of another process, which has sent the file.
    pub fn of(file: OwnedFd) -> Result<Self> {
        let size = fstat(&file).context("failed to find the size of a file")?;
        ensure!(
            usize::try_from(size.st_size)? >= SIZE.get(),
            "the file is too small to be mapped"
        );
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: the kernel chooses a place where nothing is mapped, so no other
        // memory of this process changes.
        let mapped = unsafe { mmap(None, SIZE, access, MapFlags::MAP_SHARED, &file, 0) };
        let address = mapped.context("failed to map a file")?;
        Ok(Self { file, address })
    }

    /// The file, to send to another process.
    pub fn file(&self) -> Result<OwnedFd> {
        let copy = self.file.try_clone();
        copy.context("failed to duplicate a descriptor")
    }

    /// The number. Each process may change it at any time: hence atomic.
    pub fn get(&self) -> &AtomicI64 {
        // SAFETY: the mapping begins at a page, so it is aligned; it is as large as
        // the number, any bits of which are valid; it stays until `self` is dropped,
        // and the file under it is never made smaller. No process uses it but
        // through an atomic.
        unsafe { self.address.cast().as_ref() }
    }
}

impl Drop for SharedNumber {
    fn drop(&mut self) {
        // SAFETY: this was mapped by mmap with that size, and every reference to it
        // has borrowed `self`.
        let _ = unsafe { munmap(self.address, SIZE.get()) };
    }
}

#[cfg(target_os = "linux")]
fn unnamed_file() -> nix::Result<OwnedFd> {
    use nix::sys::memfd::{MFdFlags, memfd_create};
    memfd_create(c"number", MFdFlags::MFD_CLOEXEC)
}

/// It has a name for a moment: that of this process, since it must be new.
#[cfg(not(target_os = "linux"))]
fn unnamed_file() -> nix::Result<OwnedFd> {
    use nix::fcntl::OFlag;
    use nix::sys::mman::{shm_open, shm_unlink};
    use nix::sys::stat::Mode;
    let name = format!("/process-demo-{}", std::process::id());
    let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL;
    let file = shm_open(name.as_str(), flags, Mode::S_IRUSR | Mode::S_IWUSR)?;
    shm_unlink(name.as_str())?;
    Ok(file)
}
