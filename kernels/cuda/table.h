/* What libathanor_cuda.so gives: one table of C functions. It is shared by code that never includes CUDA
   headers and by .cu files that never include ATen.

   Pointers are device pointers, matrices are row-major and contiguous unless a stride (in elements) is
   passed. Every function launches on `stream` (a cudaStream_t) and returns the cudaError_t of the launch (0:
   fine). `is_bf16` picks bfloat16 or float32 for the arguments typed void*. Meanings and letters as in
   kernels/ops.h. */
#ifndef ATHANOR_KERNELS_CUDA_TABLE_H
#define ATHANOR_KERNELS_CUDA_TABLE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ATHANOR_CUDA_TABLE_VERSION 3
#define ATHANOR_CUDA_TABLE_SYMBOL "athanor_cuda_table"
#define ATHANOR_CUDA_MAX_PARTS 256
/* Sums over tokens are made of partial sums of so many tokens, which are then added in ascending order.
   `partial` is fp32 scratch of [ceil(num_rows / this), num_columns]. */
#define ATHANOR_CUDA_ROWS_PER_PARTIAL 64
/* permutation_by_expert sorts stretches of so many slots. */
#define ATHANOR_CUDA_SLOTS_PER_PIECE 512
#define ATHANOR_CUDA_MAX_EXPERTS 1024
/* Fp8Tiles of kernels/fp8.h: which elements of a matrix share a scale. */
#define ATHANOR_CUDA_FP8_TILE 128
#define ATHANOR_CUDA_FP8_ROW 0
#define ATHANOR_CUDA_FP8_TOKEN 1
#define ATHANOR_CUDA_FP8_BLOCK 2

/* ---- normalisation, activation, rotary ---- */

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
  float* dw;      /* may be null */
  float* partial; /* null when dw is */
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

struct AthanorCudaRotary {
  void* x; /* at the first rotated column */
  const float *cos, *sin;
  int64_t num_tokens, num_heads, token_stride, head_stride, num_pairs; /* num_pairs <= 512 */
  int interleaved, inverse, is_bf16;
};

struct AthanorCudaSumRows {
  float *out, *partial;
  const void* a;
  int64_t num_rows, num_columns, a_stride;
  int accumulate, is_bf16;
};

/* ---- mixture of experts ---- */

struct AthanorCudaRoute {
  int32_t* expert_ids;
  float *weights, *scores;
  const float *logits, *bias; /* bias may be null */
  int64_t num_tokens, num_experts, num_chosen, n_group, topk_group;
  float routed_scaling_factor;
  int is_sigmoid, norm_topk_prob;
};

struct AthanorCudaRouteBackward {
  float* dlogits;
  const float *dweights, *dscores; /* dscores may be null */
  const int32_t* expert_ids;
  const float* scores;
  int64_t num_tokens, num_experts, num_chosen;
  double routed_scaling_factor;
  int is_sigmoid, norm_topk_prob;
};

struct AthanorCudaSortSlots {
  int32_t *row_of_slot, *token_of_row; /* both [num_slots] */
  int32_t* first_rows;                 /* scratch [ceil(num_slots / SLOTS_PER_PIECE), num_experts] */
  int64_t* offsets;                    /* [num_experts + 2]; the last one: the first bad slot, or -1 */
  const int32_t* expert_ids;
  int64_t num_slots, num_experts, num_chosen;
};

/* Copies rows: out[r] = in[row_of[r]]. */
struct AthanorCudaGatherRows {
  void* out;
  const void* in;
  const int32_t* row_of;
  int64_t num_rows, row_bytes;
};

struct AthanorCudaCombine {
  void* y;
  const void* rows;
  const float* weights; /* null: all one */
  const int32_t* row_of_slot;
  int64_t num_tokens, num_columns, num_chosen;
  int is_bf16;
};

struct AthanorCudaCombineBackward {
  void* drows;
  float* dweights;
  const void *dy, *rows;
  const float* weights;
  const int32_t* row_of_slot;
  int64_t num_tokens, num_columns, num_chosen;
  int is_bf16;
};

/* ---- embedding and loss ---- */

/* w holds num_rows rows of the vocabulary, from first_id on. A token whose id is outside the vocabulary gets
   NaN, one whose row is not there zeros. */
struct AthanorCudaEmbedding {
  void* y;
  const int64_t* ids;
  const void* w;
  int64_t num_tokens, num_columns, num_rows, first_id, vocabulary;
  int is_bf16;
};

/* ids in ascending order and the tokens they belong to, equal ids by ascending token. dw as w above. */
struct AthanorCudaEmbeddingBackward {
  float* dw;
  const void* dy;
  const int64_t *sorted_ids, *sorted_tokens;
  int64_t num_tokens, num_columns, num_rows, first_id;
  int is_bf16;
};

/* What a row of logits says of its softmax: states [num_rows, 3] = the largest logit, the sum of
   exp(logit - largest), the logit of the label (minus infinity where its column is not there). The columns
   are those of the vocabulary from first_label on. */
struct AthanorCudaLossStates {
  float* states;
  const float* logits;
  const int64_t* labels;
  int64_t num_rows, num_columns, first_label;
};

/* Losses from states, and gradients by the logits. dlogits may be the logits when it is fp32; null: no
   gradient wanted. A label outside the vocabulary that is not `ignored` makes its loss NaN. */
struct AthanorCudaLossRows {
  float *loss, *lse; /* lse may be null */
  void* dlogits;
  const float *logits, *states;
  const int64_t* labels;
  const float* token_weight; /* null when dlogits is */
  int64_t num_rows, num_columns, first_label, vocabulary, ignored_label;
  int dlogits_are_bf16;
};

/* ---- flat buffers ---- */

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

struct AthanorCudaChunkSquareSums {
  double* out;
  const float* flat;
  int64_t num_elements, chunk_size;
};

/* ---- block-scaled FP8 ---- */

/* Elements [begin, end) of a flattened matrix or stack of matrices, and the tiles that they lie in. Scales
   have the shape that kernels/fp8.h says. */
struct AthanorCudaFp8Place {
  int tiles;                     /* ATHANOR_CUDA_FP8_ROW, _TOKEN or _BLOCK */
  int64_t num_rows, num_columns; /* of one matrix */
  int64_t begin, end;            /* token tiles: everything */
  /* Token tiles only, [num_token_tiles, 4]: first row, number of rows, and of the group that the tile belongs
     to, the first tile and the number of tiles. */
  const int32_t* token_tiles;
  int64_t num_token_tiles;
};

/* codes or exact may be null: not wanted. x and they hold the elements of `place`, from `begin` on; rows of x
   may have a stride where everything is there. */
struct AthanorCudaFp8Write {
  uint8_t* codes;
  uint16_t* exact;
  float* scales; /* fp8_quantise writes them, fp8_write reads them */
  const void* x;
  int64_t x_stride;
  struct AthanorCudaFp8Place place;
  float floor;         /* of the largest magnitudes; fp8_quantise only */
  int is_power_of_two; /* such scales are folded into `exact` */
  int x_is_scaled;     /* fp8_write only: x holds values of codes, which are not divided by their scale */
  int x_is_bf16;
};

/* magnitudes, shaped like the scales of blocks: raised to those of x. */
struct AthanorCudaFp8Magnitudes {
  float* magnitudes;
  const void* x;
  struct AthanorCudaFp8Place place;
  int x_is_bf16;
};

struct AthanorCudaFp8Scales {
  float* scales;
  const float* magnitudes; /* may be the scales */
  int64_t num_scales;
  float floor;
  int is_power_of_two;
};

/* out = the values of codes, times their scales unless those are null. */
struct AthanorCudaFp8Decode {
  void* out;
  const uint8_t* codes;
  const float* scales;
  struct AthanorCudaFp8Place place;
  int out_is_bf16;
};

/* Transposes bytes, in tiles of 128 rows, as TransposedTile of fp8_places.h says. num_columns is a multiple
   of 4, and so is num_rows without token tiles; out and codes lie at multiples of 4 bytes. */
struct AthanorCudaFp8Transpose {
  uint8_t* out;
  const uint8_t* codes;
  const int32_t* token_tiles; /* as above; or null: matrices of num_rows rows */
  int64_t num_tiles, num_rows, num_columns;
};

/* The scale of row (or column) i: data[i / sharers * stride]. */
struct AthanorCudaScaleVector {
  const float* data;
  int64_t sharers, stride;
};
/* sums = part * (row scale * column scale) + sums, a fused multiply-add. Both [num_rows, num_columns]. */
struct AthanorCudaAddScaled {
  float* sums;
  const float* part;
  int64_t num_rows, num_columns;
  struct AthanorCudaScaleVector row_scales, column_scales;
};

struct AthanorCudaTable {
  int version; /* ATHANOR_CUDA_TABLE_VERSION */
  int (*rms_norm)(const struct AthanorCudaRmsNorm*, void* stream);
  int (*rms_norm_backward)(const struct AthanorCudaRmsNormBackward*, void* stream);
  int (*swiglu)(const struct AthanorCudaSwiglu*, void* stream);
  int (*swiglu_backward)(const struct AthanorCudaSwiglu*, void* stream);
  int (*rotary)(const struct AthanorCudaRotary*, void* stream);
  int (*sum_rows)(const struct AthanorCudaSumRows*, void* stream);
  int (*route)(const struct AthanorCudaRoute*, void* stream);
  int (*route_backward)(const struct AthanorCudaRouteBackward*, void* stream);
  int (*sort_slots)(const struct AthanorCudaSortSlots*, void* stream);
  int (*gather_rows)(const struct AthanorCudaGatherRows*, void* stream);
  int (*combine)(const struct AthanorCudaCombine*, void* stream);
  int (*combine_backward)(const struct AthanorCudaCombineBackward*, void* stream);
  int (*embedding)(const struct AthanorCudaEmbedding*, void* stream);
  int (*embedding_backward)(const struct AthanorCudaEmbeddingBackward*, void* stream);
  int (*loss_states)(const struct AthanorCudaLossStates*, void* stream);
  int (*loss_rows)(const struct AthanorCudaLossRows*, void* stream);
  int (*adamw)(const struct AthanorCudaAdamW*, void* stream);
  int (*ordered_sum)(const struct AthanorCudaOrderedSum*, void* stream);
  int (*chunk_square_sums)(const struct AthanorCudaChunkSquareSums*, void* stream);
  int (*fp8_quantise)(const struct AthanorCudaFp8Write*, void* stream); /* row and token tiles */
  int (*fp8_write)(const struct AthanorCudaFp8Write*, void* stream);
  int (*fp8_raise_magnitudes)(const struct AthanorCudaFp8Magnitudes*, void* stream);
  int (*fp8_scales)(const struct AthanorCudaFp8Scales*, void* stream);
  int (*fp8_decode)(const struct AthanorCudaFp8Decode*, void* stream);
  int (*fp8_transpose)(const struct AthanorCudaFp8Transpose*, void* stream);
  int (*add_scaled)(const struct AthanorCudaAddScaled*, void* stream);
  /* 10 * major + minor compute capability of a device. */
  int (*compute_capability)(int device, int* capability);
  const char* (*error_text)(int error);
};

/* The one exported function. */
const struct AthanorCudaTable* athanor_cuda_table(void);

#ifdef __cplusplus
}
#endif

#endif
