// Every kernel, as one module.

#include "backward.cu"
#include "double_backward.cu"
#include "forward.cu"
#include "state_backward.cu"
#include "pack.cu"
