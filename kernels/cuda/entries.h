/* The functions of the table, each in OPERATION.cu. */
#ifndef ATHANOR_KERNELS_CUDA_ENTRIES_H
#define ATHANOR_KERNELS_CUDA_ENTRIES_H

#include "kernels/cuda/table.h"

namespace athanor::kernels::cuda {

int rms_norm(const AthanorCudaRmsNorm* p, void* stream);
int rms_norm_backward(const AthanorCudaRmsNormBackward* p, void* stream);
int swiglu(const AthanorCudaSwiglu* p, void* stream);
int swiglu_backward(const AthanorCudaSwiglu* p, void* stream);
int rotary(const AthanorCudaRotary* p, void* stream);
int sum_rows(const AthanorCudaSumRows* p, void* stream);
int route(const AthanorCudaRoute* p, void* stream);
int route_backward(const AthanorCudaRouteBackward* p, void* stream);
int sort_slots(const AthanorCudaSortSlots* p, void* stream);
int gather_rows(const AthanorCudaGatherRows* p, void* stream);
int combine(const AthanorCudaCombine* p, void* stream);
int combine_backward(const AthanorCudaCombineBackward* p, void* stream);
int embedding(const AthanorCudaEmbedding* p, void* stream);
int embedding_backward(const AthanorCudaEmbeddingBackward* p, void* stream);
int loss_states(const AthanorCudaLossStates* p, void* stream);
int loss_rows(const AthanorCudaLossRows* p, void* stream);
int adamw(const AthanorCudaAdamW* p, void* stream);
int ordered_sum(const AthanorCudaOrderedSum* p, void* stream);
int chunk_square_sums(const AthanorCudaChunkSquareSums* p, void* stream);
int fp8_quantise(const AthanorCudaFp8Write* p, void* stream);
int fp8_write(const AthanorCudaFp8Write* p, void* stream);
int fp8_raise_magnitudes(const AthanorCudaFp8Magnitudes* p, void* stream);
int fp8_scales(const AthanorCudaFp8Scales* p, void* stream);
int fp8_decode(const AthanorCudaFp8Decode* p, void* stream);
int fp8_transpose(const AthanorCudaFp8Transpose* p, void* stream);
int add_scaled(const AthanorCudaAddScaled* p, void* stream);

}  // namespace athanor::kernels::cuda

#endif
