//! Encoded values, in memory or in a mapped file.

use crate::{Error, Result};
use memmap2::{Mmap, MmapMut};
use std::ops::{Deref, Range};
use std::path::Path;
use std::sync::Arc;

/// From so many numbers on (1 GiB) they lie in a mapped temporary file, so that the
/// system can put them out of memory.
const MAPPED_FROM: usize = 1 << 28;

/// From so many numbers on (4 MiB) the system is asked for large pages, which it hands out faster
/// than many small ones.
const LARGE_PAGES_FROM: usize = 1 << 20;

/// Numbers that are shared, not copied.
#[derive(Clone, Debug)]
pub struct Values(Arc<Store>);

#[derive(Debug)]
enum Store {
    Memory(Vec<f32>),
    /// A map, and the bytes of it that hold the numbers.
    Mapped(Mmap, Range<usize>),
}

impl Values {
    /// `count` zeros, which `fill` then changes.
    pub(crate) fn fill(count: usize, fill: impl FnOnce(&mut [f32]) -> Result<()>) -> Result<Self> {
        if count < MAPPED_FROM {
            if count >= LARGE_PAGES_FROM
                && let Some(mut map) = large_pages(count)
            {
                fill(bytemuck::cast_slice_mut(&mut map))?;
                return Self::of(map);
            }
            let mut values = vec![0.; count];
            fill(&mut values)?;
            return Ok(values.into());
        }
        let mut map = map(count).map_err(|e| {
            let problem = format!(
                "cannot map {} GB for the encoded cohort: {e}\nhint: set TMPDIR",
                count >> 28
            );
            Error::file(&std::env::temp_dir(), problem)
        })?;
        fill(bytemuck::cast_slice_mut(&mut map))?;
        Self::of(map)
    }

    fn of(map: MmapMut) -> Result<Self> {
        let failed = |e| Error::file(Path::new("the encoded cohort"), format!("cannot map: {e}"));
        let bytes = 0..map.len();
        Self::within(map.make_read_only().map_err(failed)?, bytes)
    }

    /// The numbers in these bytes of a map.
    pub(crate) fn within(map: Mmap, bytes: Range<usize>) -> Result<Self> {
        let numbers = map.get(bytes.clone()).map(bytemuck::try_cast_slice::<u8, f32>);
        if !matches!(numbers, Some(Ok(_))) {
            let problem = "its numbers do not lie where numbers can";
            return Err(Error::file(Path::new("the encoded cohort"), problem));
        }
        Ok(Self(Arc::new(Store::Mapped(map, bytes))))
    }
}

/// Zeros in memory that no file backs; `None` where the system has none.
fn large_pages(count: usize) -> Option<MmapMut> {
    let map = MmapMut::map_anon(4 * count).ok()?;
    // Without large pages it is only slower.
    #[cfg(target_os = "linux")]
    let _ = map.advise(memmap2::Advice::HugePage);
    Some(map)
}

fn map(count: usize) -> std::io::Result<MmapMut> {
    let file = tempfile::tempfile()?;
    file.set_len(4 * count as u64)?;
    // SAFETY: the file has no name, so no other program can change or cut it.
    unsafe { MmapMut::map_mut(&file) }
}

impl From<Vec<f32>> for Values {
    fn from(values: Vec<f32>) -> Self {
        Self(Arc::new(Store::Memory(values)))
    }
}

impl Deref for Values {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match &*self.0 {
            Store::Memory(values) => values,
            // INVARIANT: `within` has looked at their place.
            Store::Mapped(map, bytes) => bytemuck::cast_slice(&map[bytes.clone()]),
        }
    }
}

impl PartialEq for Values {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}
