//! A job whose ranks have a GPU each: whole numbers that lie there are added up by NCCL, all else by MPI.

use crate::Job;
use candle_core::cuda_backend::CudaDevice;
use candle_core::cuda_backend::cudarc::nccl::safe::{Comm, Id, ReduceOp};
use candle_core::{CpuStorage, CudaStorage, CustomOp1, Device, Layout, Shape, Tensor, bail};
use hg_models::{Communicator, Error, Result};
use std::ffi::c_char;
use std::sync::{Mutex, PoisonError};

/// Bytes of NCCL's name for a job.
const ID: usize = 128;

/// A [`Job`] with NCCL's, which is joined at the first sum.
#[derive(Debug)]
pub struct Gpus {
    job: Job,
    nccl: Mutex<Option<Nccl>>,
}

#[derive(Debug)]
struct Nccl(Comm);

// SAFETY: NCCL takes calls from any thread, one at a time, which the mutex sees to.
unsafe impl Send for Nccl {}

impl Gpus {
    /// Of a job each of whose ranks has one GPU, no two the same.
    pub fn of(job: Job) -> Self {
        Self { job, nccl: Mutex::new(None) }
    }

    /// Joins the job of NCCL that has the ranks of this one.
    fn join(&self, device: &CudaDevice) -> Result<Nccl> {
        let own = match self.rank() {
            0 => Id::new().map_err(failed)?.internal().map(|byte| byte as u8).to_vec(),
            _ => Vec::new(),
        };
        let mut sizes = vec![0; self.ranks()];
        sizes[0] = ID;
        let id: [u8; ID] =
            self.gather(&own, &sizes)?.try_into().map_err(|_| failed("its name came short"))?;
        let id = Id::uninit(id.map(|byte| byte as c_char));
        Comm::from_rank(device.cuda_stream(), self.rank(), self.ranks(), id)
            .map(Nccl)
            .map_err(failed)
    }
}

fn failed(problem: impl std::fmt::Debug) -> Error {
    Error::Ranks(format!("NCCL: {problem:?}"))
}

impl Communicator for Gpus {
    fn rank(&self) -> usize {
        self.job.rank()
    }

    fn ranks(&self) -> usize {
        self.job.ranks()
    }

    fn exchange(&self, send: &[u8], sizes: &[usize], receive: &[usize]) -> Result<Vec<u8>> {
        self.job.exchange(send, sizes, receive)
    }

    fn gather(&self, own: &[u8], sizes: &[usize]) -> Result<Vec<u8>> {
        self.job.gather(own, sizes)
    }

    fn add_whole(&self, own: &Tensor) -> Result<Tensor> {
        let Device::Cuda(device) = own.device() else { return self.job.add_whole(own) };
        let mut nccl = self.nccl.lock().unwrap_or_else(PoisonError::into_inner);
        let nccl = match &mut *nccl {
            Some(nccl) => nccl,
            none => none.insert(self.join(device)?),
        };
        Ok(own.contiguous()?.apply_op1_no_bwd(&AddUp(&nccl.0))?)
    }
}

/// The sum over all ranks of numbers in i64.
struct AddUp<'a>(&'a Comm);

impl CustomOp1 for AddUp<'_> {
    fn name(&self) -> &'static str {
        "add-up"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        bail!("NCCL adds up on GPUs alone")
    }

    fn cuda_fwd(
        &self,
        storage: &CudaStorage,
        layout: &Layout,
    ) -> candle_core::Result<(CudaStorage, Shape)> {
        let Some((start, end)) = layout.contiguous_offsets() else {
            bail!("numbers that are added up lie in a row")
        };
        let numbers = storage.as_cuda_slice::<i64>()?.slice(start..end);
        let mut sums = storage.device.alloc_zeros::<i64>(end - start)?;
        self.0
            .all_reduce(&numbers, &mut sums, &ReduceOp::Sum)
            .map_err(|e| candle_core::Error::Msg(format!("NCCL: {e:?}")))?;
        let sums = CudaStorage::wrap_cuda_slice(sums, storage.device.clone());
        Ok((sums, layout.shape().clone()))
    }
}
