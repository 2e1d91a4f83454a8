#include "parallel/ordered_reduction.h"

#include <algorithm>
#include <numeric>

#include <ATen/ops/empty.h>

#include "core/error.h"
#include "kernels/ops.h"

namespace athanor::parallel {
namespace {

constexpr int64_t kMinChunkElements = 4096;

// Where the pieces of all ranks lie in a buffer, and how a piece is cut into chunks.
struct Pieces {
  std::vector<int64_t> counts, begins;
  int64_t chunk_elements = 0, num_chunks = 0;

  int64_t chunk_begin(int r, int64_t chunk) const {
    return begins[r] + std::min(chunk * chunk_elements, counts[r]);
  }
  int64_t chunk_size(int r, int64_t chunk) const { return chunk_begin(r, chunk + 1) - chunk_begin(r, chunk); }
  at::Tensor chunk_of(const at::Tensor& flat, int r, int64_t chunk) const {
    return flat.narrow(0, chunk_begin(r, chunk), chunk_size(r, chunk));
  }
};

Pieces cut(int64_t num_elements, int num_ranks, const std::vector<int64_t>& counts, int64_t chunk_elements) {
  Pieces pieces;
  pieces.counts = counts.empty() ? std::vector<int64_t>(num_ranks, num_elements / num_ranks) : counts;
  pieces.begins.resize(num_ranks);
  std::exclusive_scan(pieces.counts.begin(), pieces.counts.end(), pieces.begins.begin(), int64_t{0});
  pieces.chunk_elements = chunk_elements;
  const int64_t longest = *std::max_element(pieces.counts.begin(), pieces.counts.end());
  pieces.num_chunks = (longest + chunk_elements - 1) / chunk_elements;
  return pieces;
}

// Equal pieces of whole alignment units; the last ones may be shorter or empty.
std::vector<int64_t> balanced_counts(int64_t num_elements, int num_ranks) {
  const int64_t unit = kernels::kFlatAlignment * num_ranks;
  const int64_t piece = (num_elements + unit - 1) / unit * kernels::kFlatAlignment;
  std::vector<int64_t> counts(num_ranks);
  for (int r = 0; r < num_ranks; ++r) counts[r] = std::clamp(num_elements - r * piece, int64_t{0}, piece);
  return counts;
}

// The tree of a single part is that part, rounded to what it is written to.
void round(const at::Tensor& out, const at::Tensor& in) {
  kernels::ordered_sum(out, {in});
}

void check_arguments(const Communicator& comm, const at::Tensor& out, const at::Tensor& in,
                     const std::vector<int64_t>& counts) {
  const auto is_flat = [](const at::Tensor& t) {
    return t.defined() && t.dim() == 1 && t.is_contiguous() && t.scalar_type() == at::kFloat;
  };
  ATHANOR_CHECK(is_flat(out) && is_flat(in), "reduce_scatter on axis {}: out and in must be flat fp32",
                comm.axis());
  if (counts.empty()) {
    ATHANOR_CHECK(out.numel() * comm.size() == in.numel(),
                  "reduce_scatter on axis {}: {} elements into {} of {} each", comm.axis(), in.numel(),
                  comm.size(), out.numel());
    return;
  }
  ATHANOR_CHECK(counts.size() == static_cast<size_t>(comm.size()) &&
                    *std::min_element(counts.begin(), counts.end()) >= 0 &&
                    std::accumulate(counts.begin(), counts.end(), int64_t{0}) == in.numel() &&
                    counts[comm.rank()] == out.numel(),
                "reduce_scatter on axis {}: the counts of {} ranks do not describe {} elements in, {} out",
                comm.axis(), counts.size(), in.numel(), out.numel());
}

}  // namespace

// What one reduction in flight needs: for every chunk on the way, a place per rank for what arrives, and with
// a payload other than fp32 one for what leaves.
struct OrderedReduction::Scratch {
  std::vector<at::Tensor> arriving, leaving;  // by slot, [ranks * chunk]
};

class OrderedReduction::Operation final : public Pending::Operation {
 public:
  Operation(OrderedReduction& owner, std::unique_ptr<Scratch> scratch, at::Tensor out, at::Tensor in,
            Pieces pieces)
      : comm_(owner.comm_),
        payload_(owner.options_.payload),
        free_scratch_(owner.free_scratch_),
        scratch_(std::move(scratch)),
        out_(std::move(out)),
        in_(std::move(in)),
        pieces_(std::move(pieces)),
        pending_(scratch_->arriving.size()) {
    const int64_t num_first = std::min<int64_t>(pending_.size(), pieces_.num_chunks);
    for (int64_t chunk = 0; chunk < num_first; ++chunk) post(chunk);
  }

  // Scratch of a reduction that was not waited for may still be written to: it is dropped, not used again.
  ~Operation() override {
    if (num_summed_ == pieces_.num_chunks) free_scratch_->push_back(std::move(scratch_));
  }

  void wait() override {
    while (num_summed_ < pieces_.num_chunks) {
      const int64_t chunk = num_summed_;
      pending_[slot_of(chunk)].wait();
      sum(chunk);
      ++num_summed_;
      const int64_t next = chunk + static_cast<int64_t>(pending_.size());
      if (next < pieces_.num_chunks) post(next);
    }
  }

  // Only waiting makes calls on the axis, so a reduction with chunks left to post is never done by itself.
  bool done() override {
    if (pieces_.num_chunks - num_summed_ > static_cast<int64_t>(pending_.size())) return false;
    return std::all_of(pending_.begin(), pending_.end(), [](Pending& pending) { return pending.done(); });
  }

 private:
  size_t slot_of(int64_t chunk) const { return chunk % pending_.size(); }
  bool is_exact() const { return payload_ == at::kFloat; }

  at::Tensor place(const std::vector<at::Tensor>& slots, int64_t chunk, int r, int64_t count) const {
    return slots[slot_of(chunk)].narrow(0, r * pieces_.chunk_elements, count);
  }
  at::Tensor arriving(int64_t chunk, int r) const {
    return place(scratch_->arriving, chunk, r, pieces_.chunk_size(comm_.rank(), chunk));
  }
  // This rank's contribution to rank r's piece, as it travels.
  at::Tensor leaving(int64_t chunk, int r) const {
    if (is_exact()) return pieces_.chunk_of(in_, r, chunk);
    return place(scratch_->leaving, chunk, r, pieces_.chunk_size(r, chunk));
  }

  void post(int64_t chunk) {
    std::vector<at::Tensor> out_pieces(comm_.size()), in_pieces(comm_.size());
    for (int r = 0; r < comm_.size(); ++r) {
      out_pieces[r] = arriving(chunk, r);
      in_pieces[r] = leaving(chunk, r);
      if (!is_exact()) round(in_pieces[r], pieces_.chunk_of(in_, r, chunk));
    }
    out_pieces[comm_.rank()] = in_pieces[comm_.rank()];  // stays where it is
    pending_[slot_of(chunk)] = comm_.exchange(out_pieces, in_pieces);
  }

  void sum(int64_t chunk) {
    const int own = comm_.rank();
    const int64_t count = pieces_.chunk_size(own, chunk);
    if (count == 0) return;
    std::vector<at::Tensor> parts(comm_.size());
    for (int r = 0; r < comm_.size(); ++r) parts[r] = r == own ? leaving(chunk, own) : arriving(chunk, r);
    kernels::ordered_sum(out_.narrow(0, pieces_.chunk_begin(own, chunk) - pieces_.begins[own], count), parts);
  }

  Communicator& comm_;
  at::ScalarType payload_;
  std::shared_ptr<std::vector<std::unique_ptr<Scratch>>> free_scratch_;
  std::unique_ptr<Scratch> scratch_;
  at::Tensor out_, in_;
  Pieces pieces_;
  std::vector<Pending> pending_;  // by slot
  int64_t num_summed_ = 0;
};

OrderedReduction::OrderedReduction(Communicator& comm, const ReductionOptions& options)
    : comm_(comm),
      options_(options),
      free_scratch_(std::make_shared<std::vector<std::unique_ptr<Scratch>>>()) {
  ATHANOR_CHECK(options.payload == at::kFloat || options.payload == at::kBFloat16, "a reduction of {}",
                c10::toString(options.payload));
  ATHANOR_CHECK(
      options.chunks_in_flight >= 1 && options.scratch_bytes > 0 && options.device_scratch_bytes > 0,
      "{} chunks in flight, {} bytes, {} on a device", options.chunks_in_flight, options.scratch_bytes,
      options.device_scratch_bytes);
}

OrderedReduction::~OrderedReduction() = default;

int64_t OrderedReduction::chunk_elements(const at::Tensor& data) const {
  const int64_t bytes_per_element = options_.payload == at::kFloat ? 4 : 2 * 2;
  const int64_t num_places = int64_t{comm_.size()} * (options_.chunks_in_flight + 1);
  const int64_t num_bytes = data.device().is_cpu() ? options_.scratch_bytes : options_.device_scratch_bytes;
  const int64_t chunk = num_bytes / (num_places * bytes_per_element);
  return std::max(kMinChunkElements, chunk / kernels::kFlatAlignment * kernels::kFlatAlignment);
}

std::unique_ptr<OrderedReduction::Scratch> OrderedReduction::scratch_for(const at::Tensor& data) {
  const auto fits = [&](const auto& scratch) { return scratch->arriving[0].device() == data.device(); };
  const auto found = std::find_if(free_scratch_->begin(), free_scratch_->end(), fits);
  if (found != free_scratch_->end()) {
    auto scratch = std::move(*found);
    free_scratch_->erase(found);
    return scratch;
  }
  auto scratch = std::make_unique<Scratch>();
  const auto options = data.options().dtype(options_.payload);
  const int64_t num_elements = comm_.size() * chunk_elements(data);
  for (int slot = 0; slot <= options_.chunks_in_flight; ++slot) {
    scratch->arriving.push_back(at::empty({num_elements}, options));
    if (options_.payload != at::kFloat) scratch->leaving.push_back(at::empty({num_elements}, options));
  }
  return scratch;
}

Pending OrderedReduction::reduce_scatter(const at::Tensor& out, const at::Tensor& in,
                                         const std::vector<int64_t>& counts) {
  check_arguments(comm_, out, in, counts);
  Pieces pieces = cut(in.numel(), comm_.size(), counts, chunk_elements(in));
  return Pending(std::make_unique<Operation>(*this, scratch_for(in), out, in, std::move(pieces)));
}

void OrderedReduction::all_reduce(const at::Tensor& data) {
  const std::vector<int64_t> counts = balanced_counts(data.numel(), comm_.size());
  const Pieces pieces = cut(data.numel(), comm_.size(), counts, std::max<int64_t>(1, data.numel()));
  const auto piece_of = [&](int r) { return data.narrow(0, pieces.begins[r], counts[r]); };
  reduce_scatter(piece_of(comm_.rank()), data, counts).wait();
  std::vector<at::Tensor> out_pieces(comm_.size()), in_pieces(comm_.size(), piece_of(comm_.rank()));
  for (int r = 0; r < comm_.size(); ++r) out_pieces[r] = piece_of(r);
  comm_.exchange(out_pieces, in_pieces).wait();
}

}  // namespace athanor::parallel
