// Every kernel, as one module.

#include "adjoint.cu"
#include "adjoint_derivative.cu"
#include "forward.cu"
#include "forward_adjoint.cu"
#include "pack.cu"
