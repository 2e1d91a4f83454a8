/* What libathanor_cuda.so gives: one table of C functions. It is shared by code that never includes CUDA
   headers and by .cu files that never include ATen.

   Pointers are device pointers, matrices are row-major and contiguous unless a stride (in elements) is
   passed. Every function launches on `stream` (a cudaStream_t) and returns the cudaError_t of the launch (0:
   fine). `is_bf16` picks bfloat16 or float32 for the arguments typed void*. */
#ifndef ATHANOR_KERNELS_CUDA_TABLE_H
#define ATHANOR_KERNELS_CUDA_TABLE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ATHANOR_CUDA_TABLE_VERSION 1
#define ATHANOR_CUDA_TABLE_SYMBOL "athanor_cuda_table"
#define ATHANOR_CUDA_MAX_PARTS 256

struct AthanorCudaRmsNorm {
  void* y;
  float* rstd;
  const void *x, *w;
  int64_t num_rows, num_columns, x_stride;
  float eps;
  int is_bf16;
};

struct AthanorCudaRmsNormBackward {
  void* dx;
  float* dw; /* may be null */
  const void *dy, *x, *w;
  const float* rstd;
  int64_t num_rows, num_columns, x_stride;
  int accumulate_dw, is_bf16;
};

struct AthanorCudaSwiglu {
  void* out;                /* h, or dgate_up */
  const void *dh, *gate_up; /* dh: null in the forward direction */
  int64_t num_rows, num_columns;
  int is_bf16;
};

struct AthanorCudaAdamW {
  float* master;
  void *exp_avg, *exp_avg_sq;
  const float* gradient;
  void* compute; /* bfloat16, may be null */
  int64_t num_elements;
  float gradient_scale, keep, one_minus_beta1, beta2, one_minus_beta2, sqrt_correction2, eps, minus_step_size;
  int moments_are_bf16;
};

struct AthanorCudaOrderedSum {
  void* out;
  const void* parts[ATHANOR_CUDA_MAX_PARTS];
  int64_t num_parts, num_elements;
  int out_is_bf16, parts_are_bf16;
};

struct AthanorCudaTable {
  int version; /* ATHANOR_CUDA_TABLE_VERSION */
  int (*rms_norm)(const struct AthanorCudaRmsNorm*, void* stream);
  int (*rms_norm_backward)(const struct AthanorCudaRmsNormBackward*, void* stream);
  int (*swiglu)(const struct AthanorCudaSwiglu*, void* stream);
  int (*swiglu_backward)(const struct AthanorCudaSwiglu*, void* stream);
  int (*adamw)(const struct AthanorCudaAdamW*, void* stream);
  int (*ordered_sum)(const struct AthanorCudaOrderedSum*, void* stream);
  const char* (*error_text)(int error);
};

/* The one exported function. */
const struct AthanorCudaTable* athanor_cuda_table(void);

#ifdef __cplusplus
}
#endif

#endif
