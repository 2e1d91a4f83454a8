// Rows in order of their experts: a stable counting sort of the slots without atomics on rows, so the order
// is the one of kernels/cpu/permutation.cpp. A warp owns a piece of the slots and walks it 32 at a time.
#include "kernels/cuda/device_code.cuh"
#include "kernels/cuda/entries.h"

namespace athanor::kernels::cuda {
namespace {

constexpr int kDropped = -1;
constexpr int64_t kSlotsPerPiece = ATHANOR_CUDA_SLOTS_PER_PIECE;
constexpr unsigned long long kNoBadSlot = ~0ull;  // -1 as a signed number

extern __shared__ char shared_memory[];

__device__ int64_t num_pieces(const AthanorCudaSortSlots& p) {
  return (p.num_slots + kSlotsPerPiece - 1) / kSlotsPerPiece;
}

/// Where the first slot whose id is neither an expert nor -1 is noted.
__device__ unsigned long long* first_bad_slot(const AthanorCudaSortSlots& p) {
  return reinterpret_cast<unsigned long long*>(p.offsets + p.num_experts + 1);
}

/// Calls body(slot, id, rank, num_same) on every lane for each step of 32 slots of the piece: the
/// lane's rank among the lanes with the same expert and how many they are. Slots beyond the end and bad ones
/// count as dropped.
template <typename Body>
__device__ void walk_piece(const AthanorCudaSortSlots& p, Body body) {
  const int lane = threadIdx.x;
  const int64_t begin = int64_t{blockIdx.x} * kSlotsPerPiece;
  const int64_t end = begin + kSlotsPerPiece < p.num_slots ? begin + kSlotsPerPiece : p.num_slots;
  for (int64_t first = begin; first < end; first += kWarpSize) {
    const int64_t slot = first + lane;
    const int id = slot < end ? p.expert_ids[slot] : kDropped;
    const bool is_used = id >= 0 && id < p.num_experts;
    const unsigned same = __match_any_sync(kFullWarp, is_used ? id : kDropped);
    const int rank = __popc(same & ((1u << lane) - 1));
    body(slot < end ? slot : int64_t{-1}, is_used ? id : kDropped, rank, __popc(same));
    __syncwarp();
  }
}

/// first_rows[piece][e] = how many slots of the piece go to expert e.
__global__ void count(AthanorCudaSortSlots p) {
  int* counts = reinterpret_cast<int*>(shared_memory);
  for (int e = threadIdx.x; e < p.num_experts; e += kWarpSize) counts[e] = 0;
  __syncwarp();
  walk_piece(p, [&](int64_t, int id, int rank, int num_same) {
    if (id != kDropped && rank == 0) counts[id] += num_same;
  });
  int32_t* to = p.first_rows + int64_t{blockIdx.x} * p.num_experts;
  for (int e = threadIdx.x; e < p.num_experts; e += kWarpSize) to[e] = counts[e];
}

/// One block: counts become first rows, and the offsets of the experts.
__global__ void plan(AthanorCudaSortSlots p) {
  int* totals = reinterpret_cast<int*>(shared_memory);
  const int64_t pieces = num_pieces(p);
  for (int e = threadIdx.x; e < p.num_experts; e += kThreads) {
    int total = 0;
#pragma unroll 8
    for (int64_t piece = 0; piece < pieces; ++piece) total += p.first_rows[piece * p.num_experts + e];
    totals[e] = total;
  }
  __syncthreads();
  if (threadIdx.x == 0) {
    int next_row = 0;
    for (int e = 0; e < p.num_experts; ++e) {
      const int total = totals[e];
      totals[e] = next_row;
      p.offsets[e] = next_row;
      next_row += total;
    }
    p.offsets[p.num_experts] = next_row;
    *first_bad_slot(p) = kNoBadSlot;
  }
  __syncthreads();
  for (int e = threadIdx.x; e < p.num_experts; e += kThreads) {
    int next_row = totals[e];
    for (int64_t piece = 0; piece < pieces; ++piece) {
      int32_t& first = p.first_rows[piece * p.num_experts + e];
      const int num_slots = first;
      first = next_row;
      next_row += num_slots;
    }
  }
}

__global__ void place(AthanorCudaSortSlots p) {
  int* next_rows = reinterpret_cast<int*>(shared_memory);
  const int32_t* from = p.first_rows + int64_t{blockIdx.x} * p.num_experts;
  for (int e = threadIdx.x; e < p.num_experts; e += kWarpSize) next_rows[e] = from[e];
  __syncwarp();
  walk_piece(p, [&](int64_t slot, int id, int rank, int num_same) {
    const int row = id == kDropped ? kDropped : next_rows[id] + rank;
    __syncwarp();
    if (slot < 0) return;
    p.row_of_slot[slot] = row;
    if (id == kDropped) {
      if (p.expert_ids[slot] != kDropped) atomicMin(first_bad_slot(p), static_cast<unsigned long long>(slot));
      return;
    }
    p.token_of_row[row] = static_cast<int32_t>(slot / p.num_chosen);
    if (rank == 0) next_rows[id] += num_same;
  });
}

template <int kWidth>
__global__ void gather(AthanorCudaGatherRows p) {
  using Piece = Vector<char, kWidth>;
  const int64_t row = blockIdx.x;
  const auto* from =
      reinterpret_cast<const Piece*>(static_cast<const char*>(p.in) + p.row_of[row] * p.row_bytes);
  auto* to = reinterpret_cast<Piece*>(static_cast<char*>(p.out) + row * p.row_bytes);
  for (int64_t i = threadIdx.x; i < p.row_bytes / kWidth; i += kThreads) to[i] = from[i];
}

template <typename T, int kWidth>
__global__ void weighted_sum(AthanorCudaCombine p) {
  const int64_t token = blockIdx.x;
  const T* rows = static_cast<const T*>(p.rows);
  const int32_t* row_of_slot = p.row_of_slot + token * p.num_chosen;
  const float* weights = p.weights ? p.weights + token * p.num_chosen : nullptr;
  for (int64_t i = threadIdx.x * kWidth; i < p.num_columns; i += kThreads * kWidth) {
    float sums[kWidth] = {}, values[kWidth];
    for (int64_t a = 0; a < p.num_chosen; ++a) {
      if (row_of_slot[a] < 0) continue;
      const float weight = weights ? weights[a] : 1.0f;
      load(values, rows + row_of_slot[a] * p.num_columns + i);
#pragma unroll
      for (int k = 0; k < kWidth; ++k) sums[k] = fmaf(weight, values[k], sums[k]);
    }
    store(static_cast<T*>(p.y) + token * p.num_columns + i, sums);
  }
}

/// A block owns a slot. drows may be rows: every element is read by the thread that writes it.
template <typename T, int kWidth>
__global__ void weighted_sum_backward(AthanorCudaCombineBackward p) {
  const int64_t slot = blockIdx.x, row = p.row_of_slot[slot];
  if (row < 0) {
    if (threadIdx.x == 0) p.dweights[slot] = 0;
    return;
  }
  const T* dy = static_cast<const T*>(p.dy) + slot / p.num_chosen * p.num_columns;
  const T* from = static_cast<const T*>(p.rows) + row * p.num_columns;
  T* to = static_cast<T*>(p.drows) + row * p.num_columns;
  const float weight = p.weights[slot];
  float gradients[kWidth], values[kWidth];
  float dot = 0;
  for (int64_t i = threadIdx.x * kWidth; i < p.num_columns; i += kThreads * kWidth) {
    load(gradients, dy + i);
    load(values, from + i);
#pragma unroll
    for (int k = 0; k < kWidth; ++k) {
      dot = fmaf(gradients[k], values[k], dot);
      gradients[k] *= weight;
    }
    store(to + i, gradients);
  }
  dot = block_sum(dot);
  if (threadIdx.x == 0) p.dweights[slot] = dot;
}

Grid warps(int64_t count, int64_t num_experts) {
  return {dim3(static_cast<unsigned>(count)), kWarpSize, static_cast<size_t>(num_experts) * sizeof(int)};
}

}  // namespace

int sort_slots(const AthanorCudaSortSlots* p, void* stream) {
  if (p->num_experts > ATHANOR_CUDA_MAX_EXPERTS) return cudaErrorInvalidValue;
  const int64_t pieces = ceil_div(p->num_slots, kSlotsPerPiece);
  int error = launch(count, warps(pieces, p->num_experts), *p, stream);
  if (error == cudaSuccess)
    error =
        launch(plan, Grid{dim3(1), kThreads, static_cast<size_t>(p->num_experts) * sizeof(int)}, *p, stream);
  return error == cudaSuccess ? launch(place, warps(pieces, p->num_experts), *p, stream) : error;
}

int gather_rows(const AthanorCudaGatherRows* p, void* stream) {
  const bool is_wide = Alignment{1}.pointer(p->out).pointer(p->in).count(p->row_bytes).is_wide;
  if (is_wide) return launch(gather<16>, p->num_rows, *p, stream);
  return launch(gather<2>, p->num_rows, *p, stream);
}

int combine(const AthanorCudaCombine* p, void* stream) {
  const bool is_wide = alignment(p->is_bf16).pointer(p->y).pointer(p->rows).count(p->num_columns).is_wide;
  return with_access(p->is_bf16, is_wide, [&](auto access) {
    using A = decltype(access);
    return launch(weighted_sum<typename A::T, A::kWidth>, p->num_tokens, *p, stream);
  });
}

int combine_backward(const AthanorCudaCombineBackward* p, void* stream) {
  const bool is_wide =
      alignment(p->is_bf16).pointer(p->drows).pointer(p->rows).pointer(p->dy).count(p->num_columns).is_wide;
  return with_access(p->is_bf16, is_wide, [&](auto access) {
    using A = decltype(access);
    return launch(weighted_sum_backward<typename A::T, A::kWidth>, p->num_tokens * p->num_chosen, *p, stream);
  });
}

}  // namespace athanor::kernels::cuda
