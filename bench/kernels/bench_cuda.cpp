// Speed of the operations on a GPU, at the sizes of a 16B mixture of experts: 8,192 tokens, hidden size 2048,
// 16 heads of 192/128, 64 experts of width 1408 with top 6, a vocabulary of 102,400. Usage: bench_cuda
// [tokens]. A figure is the median of ten runs between synchronisations, after two to warm up; inputs are
// random. First the two ceilings of this card: a device-to-device copy and a large product.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <vector>

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>

#include "core/error.h"
#include "kernels/cuda/products.h"
#include "kernels/cuda_plugin.h"
#include "kernels/fp8.h"
#include "kernels/ops.h"

namespace {

namespace kernels = athanor::kernels;

constexpr int64_t kHidden = 2048, kVocabulary = 102400, kExperts = 64, kChosen = 6, kExpertWidth = 1408;
constexpr int64_t kHeads = 16, kQkSize = 192, kVSize = 128, kRotarySize = 64, kDocuments = 4;

class Bench {
 public:
  Bench(at::Device device, int64_t num_tokens) : device_(device), num_tokens_(num_tokens) {}

  void ceilings() const {
    const at::Tensor from = normal({int64_t{1} << 29}, at::kBFloat16), to = at::empty_like(from);
    print(
        "copy of 1 GiB", [&] { to.copy_(from); }, 2.0 * static_cast<double>(from.nbytes()), 0);
    for (const auto dtype : {at::kBFloat16, at::kFloat})
      std::printf("%-44s %48.1f TFLOP/s\n",
                  dtype == at::kFloat ? "8192^3 fp32 product" : "8192^3 bf16 product",
                  kernels::measure_peak_flops(dtype, device_) * 1e-12);
  }

  void rows() const {
    const at::Tensor x = normal({num_tokens_, kHidden}), w = normal({kHidden}), dx = at::empty_like(x);
    const at::Tensor rstd = empty({num_tokens_}, at::kFloat), dw = empty({kHidden}, at::kFloat);
    const double bytes = static_cast<double>(x.nbytes());
    print(
        "rms_norm", [&] { kernels::rms_norm(dx, rstd, x, w, 1e-6); }, 2 * bytes, 0);
    print(
        "rms_norm_backward", [&] { kernels::rms_norm_backward(dx, dw, x, x, w, rstd, true); }, 5 * bytes, 0);
    const at::Tensor gate_up = normal({num_tokens_ * kChosen, 2 * kExpertWidth}),
                     dgate_up = at::empty_like(gate_up);
    const at::Tensor h = normal({num_tokens_ * kChosen, kExpertWidth});
    const double wide = static_cast<double>(h.nbytes());
    print(
        "swiglu of all experts", [&] { kernels::swiglu(h, gate_up); }, 3 * wide, 0);
    print(
        "swiglu_backward", [&] { kernels::swiglu_backward(dgate_up, h, gate_up); }, 5 * wide, 0);
    const at::Tensor q = normal({num_tokens_, kHeads, kQkSize});
    const at::Tensor angles = normal({num_tokens_, kRotarySize / 2}, at::kFloat);
    print(
        "rotary of 64 of 192",
        [&] {
          kernels::rotary(q, angles, angles, {kQkSize - kRotarySize, true, false});
        },
        2.0 * static_cast<double>(num_tokens_ * kHeads * kRotarySize * 2), 0);
    print(
        "sum_rows", [&] { kernels::sum_rows(dw, x, false); }, bytes, 0);
  }

  void products() const {
    const at::Tensor x = normal({num_tokens_, kHidden}), w = normal({5 * kHidden, kHidden});
    const at::Tensor y = empty({num_tokens_, 5 * kHidden}), dw = zeros({5 * kHidden, kHidden});
    const double flops = 2.0 * static_cast<double>(num_tokens_ * kHidden * 5 * kHidden);
    print(
        "matmul_nt 2048 -> 10240", [&] { kernels::matmul_nt(y, x, w); }, 0, flops);
    print(
        "matmul_nn", [&] { kernels::matmul_nn(x, y, w); }, 0, flops);
    print(
        "matmul_tn to fp32", [&] { kernels::matmul_tn(dw, y, x, false); }, 0, flops);
    print(
        "matmul_tn to fp32, accumulated", [&] { kernels::matmul_tn(dw, y, x, true); }, 0, flops);
  }

  void experts() const {
    const at::Tensor logits = normal({num_tokens_, kExperts}, at::kFloat), scores = at::empty_like(logits);
    const at::Tensor ids = empty({num_tokens_, kChosen}, at::kInt),
                     weights = empty({num_tokens_, kChosen}, at::kFloat);
    const kernels::RouterOptions options{kernels::RouterScore::kSigmoid, kChosen, 8, 4, true, 2.5};
    print(
        "route", [&] { kernels::route(ids, weights, scores, logits, {}, options); },
        2.0 * static_cast<double>(logits.nbytes()), 0);
    const at::Tensor dlogits = at::empty_like(logits);
    print(
        "route_backward", [&] { kernels::route_backward(dlogits, weights, logits, ids, scores, options); },
        3.0 * static_cast<double>(logits.nbytes()), 0);
    print(
        "permutation_by_expert (with its wait)", [&] { kernels::permutation_by_expert(ids, kExperts); },
        3.0 * static_cast<double>(ids.nbytes()), 0);
    const auto permutation = kernels::permutation_by_expert(ids, kExperts);
    const int64_t num_rows = permutation.offsets.back();
    const at::Tensor x = normal({num_tokens_, kHidden}), rows = normal({num_rows, kHidden}),
                     dx = at::empty_like(x);
    const at::Tensor drows = at::empty_like(rows), dweights = at::empty_like(weights);
    const double row_bytes = static_cast<double>(rows.nbytes()),
                 token_bytes = static_cast<double>(x.nbytes());
    print(
        "permute", [&] { kernels::permute(rows, x, permutation); }, row_bytes + token_bytes, 0);
    print(
        "permute_backward", [&] { kernels::permute_backward(dx, rows, permutation); },
        row_bytes + token_bytes, 0);
    print(
        "combine", [&] { kernels::combine(dx, rows, weights, permutation); }, row_bytes + token_bytes, 0);
    print(
        "combine_backward",
        [&] { kernels::combine_backward(drows, dweights, x, rows, weights, permutation); },
        2 * row_bytes + token_bytes, 0);
    grouped(rows, permutation.offsets);
  }

  void fp8() const {
    using kernels::Fp8Keep;
    using kernels::Fp8Tiles;
    const at::Tensor x = normal({num_tokens_, kHidden}), w = normal({5 * kHidden, kHidden}),
                     y = normal({num_tokens_, 5 * kHidden}), dw = zeros({5 * kHidden, kHidden});
    const double elements = static_cast<double>(x.numel());
    const auto quantise = [&](const char* what, Fp8Tiles tiles, Fp8Keep keep, double bytes_written) {
      print(
          what, [&] { kernels::quantise(x, tiles, {}, keep); }, (2 + bytes_written) * elements, 0);
    };
    quantise("fp8 rows, codes", Fp8Tiles::kRow, Fp8Keep::kCodes, 1);
    quantise("fp8 rows, exact", Fp8Tiles::kRow, Fp8Keep::kExact, 2);
    quantise("fp8 token tiles, codes", Fp8Tiles::kToken, Fp8Keep::kCodes, 1);
    quantise("fp8 blocks (reads twice)", Fp8Tiles::kBlock, Fp8Keep::kExact, 4);
    const double flops = 2.0 * static_cast<double>(num_tokens_ * kHidden * 5 * kHidden);
    // As in training: weights are bound as exact values, activations as what products prefer here.
    const auto keep = kernels::fp8_operand(device_);
    const auto qw = kernels::quantise(w, Fp8Tiles::kBlock, {}, Fp8Keep::kExact);
    const auto rows_x = kernels::quantise(x, Fp8Tiles::kRow, {}, keep),
               rows_y = kernels::quantise(y, Fp8Tiles::kRow, {}, keep),
               tokens_x = kernels::quantise(x, Fp8Tiles::kToken, {}, keep),
               tokens_y = kernels::quantise(y, Fp8Tiles::kToken, {}, keep);
    print(
        "fp8_matmul_nt 2048 -> 10240", [&] { kernels::fp8_matmul_nt(y, rows_x, qw); }, 0, flops);
    print(
        "fp8_matmul_nn", [&] { kernels::fp8_matmul_nn(x, rows_y, qw); }, 0, flops);
    print(
        "fp8_matmul_tn to fp32", [&] { kernels::fp8_matmul_tn(dw, tokens_y, tokens_x); }, 0, flops);
    fp8_experts();
  }

  void attention() const {
    const at::Tensor q = normal({num_tokens_, kHeads, kQkSize}), k = normal({num_tokens_, kHeads, kQkSize});
    const at::Tensor v = normal({num_tokens_, kHeads, kVSize}), d_o = normal({num_tokens_, kHeads, kVSize});
    const at::Tensor o = at::empty_like(v), lse = empty({num_tokens_, kHeads}, at::kFloat);
    const at::Tensor dq = at::empty_like(q), dk = at::empty_like(k), dv = at::empty_like(v);
    std::vector<int64_t> offsets;
    for (int64_t i = 0; i <= kDocuments; ++i) offsets.push_back(i * num_tokens_ / kDocuments);
    const kernels::AttentionOptions options{1.0 / std::sqrt(static_cast<double>(kQkSize)), 0};
    // The products that causality leaves.
    const double pairs = static_cast<double>(num_tokens_) * static_cast<double>(num_tokens_) / kDocuments / 2;
    const double flops = 2.0 * pairs * kHeads * (kQkSize + kVSize);
    const auto forward = [&] { kernels::attention(o, lse, q, k, v, offsets, options); };
    print("attention, 4 documents", forward, 0, flops);
    print(
        "attention_backward",
        [&] { kernels::attention_backward(dq, dk, dv, d_o, o, lse, q, k, v, offsets, options); }, 0,
        flops * 2 + 2.0 * pairs * kHeads * kQkSize);
  }

  void head() const {
    const at::Tensor w = normal({kVocabulary, kHidden}), x = normal({num_tokens_, kHidden}),
                     dx = at::empty_like(x);
    const at::Tensor dw = zeros({kVocabulary, kHidden}), loss = empty({num_tokens_}, at::kFloat);
    const at::Tensor weight = normal({num_tokens_}, at::kFloat);
    const at::Tensor ids = at::randint(0, kVocabulary, {num_tokens_}, x.options().dtype(at::kLong));
    const double flops = 2.0 * static_cast<double>(num_tokens_ * kHidden) * kVocabulary;
    print(
        "embedding", [&] { kernels::embedding(x, ids, w); }, 2.0 * static_cast<double>(x.nbytes()), 0);
    print(
        "embedding_backward", [&] { kernels::embedding_backward(dw, x, ids); },
        5.0 * static_cast<double>(x.nbytes()), 0);
    print(
        "linear_cross_entropy", [&] { kernels::linear_cross_entropy(loss, {}, x, w, ids); }, 0, flops);
    print(
        "linear_cross_entropy_with_gradient",
        [&] { kernels::linear_cross_entropy_with_gradient(loss, dx, dw, x, w, ids, weight, true); }, 0,
        3 * flops);
  }

  void flat() const {
    constexpr int64_t kElements = int64_t{1} << 27;
    const at::Tensor p = normal({kElements}, at::kFloat), m = zeros({kElements}), v = zeros({kElements});
    const at::Tensor g = normal({kElements}, at::kFloat), compute = empty({kElements});
    const kernels::AdamWOptions options{1e-4, 0.9, 0.95, 1e-8, 0.1, 1, 1.0};
    print(
        "adamw of 134M",
        [&] {
          kernels::adamw(p, m, v, g, compute, {{0, kElements}}, options);
        },
        30.0 * static_cast<double>(kElements), 0);
    const at::Tensor sums = at::empty({kElements / kernels::kFlatAlignment}, g.options().dtype(at::kDouble));
    print(
        "chunk_square_sums of 134M", [&] { kernels::chunk_square_sums(sums, g); },
        4.0 * static_cast<double>(kElements), 0);
    print(
        "ordered_sum of 2",
        [&] {
          kernels::ordered_sum(p, {g, m});
        },
        12.0 * static_cast<double>(kElements), 0);
  }

 private:
  at::Tensor normal(at::IntArrayRef sizes, at::ScalarType dtype = at::kBFloat16) const {
    return at::randn(sizes, at::TensorOptions().dtype(dtype).device(device_));
  }
  at::Tensor empty(at::IntArrayRef sizes, at::ScalarType dtype = at::kBFloat16) const {
    return at::empty(sizes, at::TensorOptions().dtype(dtype).device(device_));
  }
  at::Tensor zeros(at::IntArrayRef sizes) const {
    return at::zeros(sizes, at::TensorOptions().dtype(at::kFloat).device(device_));
  }

  void grouped(const at::Tensor& rows, const std::vector<int64_t>& offsets) const {
    const at::Tensor w = normal({kExperts, 2 * kExpertWidth, kHidden}),
                     y = empty({rows.size(0), 2 * kExpertWidth});
    const at::Tensor dw = zeros({kExperts, 2 * kExpertWidth, kHidden});
    const double flops = 2.0 * static_cast<double>(rows.numel()) * 2 * kExpertWidth;
    print(
        "grouped products, one by one",
        [&] { kernels::cuda::grouped_matmul_one_by_one(y, rows, w.transpose(1, 2), offsets); }, 0, flops);
    if (kernels::compute_capability(device_) >= 90)
      print(
          "grouped products, at once",
          [&] { kernels::cuda::grouped_matmul_at_once(y, rows, w.transpose(1, 2), offsets); }, 0, flops);
    print(
        "grouped_matmul_nn", [&] { kernels::grouped_matmul_nn(rows, y, w, offsets); }, 0, flops);
    print(
        "grouped_matmul_tn, accumulated", [&] { kernels::grouped_matmul_tn(dw, y, rows, offsets, true); }, 0,
        flops);
  }

  /// The experts of one rank of eight, all tokens of the eight: few and large.
  void fp8_experts() const {
    constexpr int64_t kHere = kExperts / 8;
    const int64_t num_rows = num_tokens_ * kChosen;
    std::vector<int64_t> offsets;
    for (int64_t e = 0; e <= kHere; ++e) offsets.push_back(e * num_rows / kHere);
    const auto rows = kernels::quantise(normal({num_rows, kHidden}), kernels::Fp8Tiles::kRow, {},
                                        kernels::fp8_operand(device_));
    const auto w = kernels::quantise(normal({kHere, 2 * kExpertWidth, kHidden}), kernels::Fp8Tiles::kBlock,
                                     {}, kernels::Fp8Keep::kExact);
    const at::Tensor y = empty({num_rows, 2 * kExpertWidth});
    print(
        "fp8 experts, 8 of them, forward", [&] { kernels::fp8_grouped_matmul_nt(y, rows, w, offsets); }, 0,
        2.0 * static_cast<double>(num_rows * kHidden) * 2 * kExpertWidth);
  }

  void print(const char* what, const std::function<void()>& run, double bytes, double flops) const {
    const double seconds = median_seconds(run);
    std::printf("%-44s %9.3f ms", what, seconds * 1e3);
    if (bytes > 0) std::printf("  %9.1f GB/s", bytes / seconds * 1e-9);
    if (flops > 0) std::printf("  %34.1f TFLOP/s", flops / seconds * 1e-12);
    std::printf("\n");
    std::fflush(stdout);
  }

  double median_seconds(const std::function<void()>& run) const {
    using Clock = std::chrono::steady_clock;
    constexpr int kWarmUps = 2, kRuns = 10;
    std::vector<double> seconds;
    for (int i = 0; i < kWarmUps + kRuns; ++i) {
      kernels::synchronize(device_);
      const auto start = Clock::now();
      run();
      kernels::synchronize(device_);
      if (i >= kWarmUps) seconds.push_back(std::chrono::duration<double>(Clock::now() - start).count());
    }
    std::sort(seconds.begin(), seconds.end());
    return seconds[kRuns / 2];
  }

  at::Device device_;
  int64_t num_tokens_;
};

}  // namespace

int main(int argc, char** argv) {
  const int64_t num_tokens = argc > 1 ? std::atoll(argv[1]) : 8192;
  try {
    const Bench bench(kernels::open_cuda_device(0), num_tokens);
    std::printf("%s, %lld tokens, bf16\n",
                kernels::product_kernel_name(at::kBFloat16, at::Device(at::kCUDA, 0)).c_str(),
                static_cast<long long>(num_tokens));
    bench.ceilings();
    bench.rows();
    bench.products();
    bench.experts();
    bench.fp8();
    bench.attention();
    bench.head();
    bench.flat();
  } catch (const athanor::core::ConfigError& error) {
    std::fprintf(stderr, "bench_cuda: %s\n", error.what());
    return 1;
  }
}
