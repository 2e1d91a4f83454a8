#include "kernels/reference/plain_ops.h"

#include <cmath>

namespace athanor::kernels::reference {
namespace {

at::Tensor as_f32(const at::Tensor& x) {
  return x.to(at::kFloat).contiguous();
}
at::Tensor as_f64(const at::Tensor& x) {
  return x.to(at::kDouble).contiguous();
}

at::Tensor zeros_f64(at::IntArrayRef sizes) {
  return at::zeros(sizes, at::TensorOptions().dtype(at::kDouble));
}

double sigmoid(double x) {
  return 1 / (1 + std::exp(-x));
}

double inverse_root_mean_square(const double* x, int64_t count, double eps) {
  double squares = 0;
  for (int64_t i = 0; i < count; ++i) squares += x[i] * x[i];
  return 1 / std::sqrt(squares / static_cast<double>(count) + eps);
}

/// x * rstd, rounded to the dtype of x as the operation does, in fp64.
at::Tensor normalised(const at::Tensor& x_TD, double eps) {
  at::Tensor out = as_f64(x_TD).clone();
  const int64_t num_columns = x_TD.size(1);
  double* data = out.mutable_data_ptr<double>();
  for (int64_t t = 0; t < x_TD.size(0); ++t) {
    double* row = data + t * num_columns;
    const double rstd = inverse_root_mean_square(row, num_columns, eps);
    for (int64_t i = 0; i < num_columns; ++i) row[i] *= rstd;
  }
  return x_TD.scalar_type() == at::kBFloat16 ? out.to(at::kFloat).to(at::kBFloat16).to(at::kDouble) : out;
}

at::Tensor tree(const std::vector<at::Tensor>& parts, size_t begin, size_t count) {
  if (count == 1) return parts[begin].to(at::kFloat);
  size_t half = 1;
  while (half * 2 < count) half *= 2;
  return tree(parts, begin, half) + tree(parts, begin + half, count - half);
}

}  // namespace

at::Tensor product(const at::Tensor& a_MK, const at::Tensor& b_KN, const std::optional<at::Tensor>& start) {
  const int64_t num_rows = a_MK.size(0), depth = a_MK.size(1), num_columns = b_KN.size(1);
  const at::Tensor a = as_f32(a_MK), b = as_f32(b_KN);
  at::Tensor out = start ? as_f32(*start).clone() : at::zeros({num_rows, num_columns});
  float* sums = out.mutable_data_ptr<float>();
  const float *left = a.const_data_ptr<float>(), *right = b.const_data_ptr<float>();
  for (int64_t m = 0; m < num_rows; ++m)
    for (int64_t k = 0; k < depth; ++k)
      for (int64_t n = 0; n < num_columns; ++n) {
        float& sum = sums[m * num_columns + n];
        sum = std::fma(left[m * depth + k], right[k * num_columns + n], sum);
      }
  return out;
}

at::Tensor sum_rows(const at::Tensor& a_TN, const std::optional<at::Tensor>& start) {
  const int64_t num_columns = a_TN.size(1);
  const at::Tensor a = as_f32(a_TN);
  at::Tensor out = start ? start->clone() : at::zeros({num_columns});
  for (int64_t t = 0; t < a.size(0); ++t) out += a.select(0, t);
  return out;
}

at::Tensor rms_norm(const at::Tensor& x_TD, const at::Tensor& w_D, double eps) {
  return normalised(x_TD, eps) * as_f64(w_D);
}

RmsNormGradients rms_norm_backward(const at::Tensor& dy_TD, const at::Tensor& x_TD, const at::Tensor& w_D,
                                   double eps) {
  const int64_t num_columns = x_TD.size(1);
  const at::Tensor dy = as_f64(dy_TD), x = as_f64(x_TD), w = as_f64(w_D), dw = dy * normalised(x_TD, eps);
  at::Tensor dx = zeros_f64(x.sizes());
  const double* weight = w.const_data_ptr<double>();
  for (int64_t t = 0; t < x.size(0); ++t) {
    const double *from = x.const_data_ptr<double>() + t * num_columns,
                 *gradient = dy.const_data_ptr<double>() + t * num_columns;
    double* to = dx.mutable_data_ptr<double>() + t * num_columns;
    const double rstd = inverse_root_mean_square(from, num_columns, eps);
    double dot = 0;
    for (int64_t i = 0; i < num_columns; ++i) dot += gradient[i] * weight[i] * from[i] * rstd;
    for (int64_t i = 0; i < num_columns; ++i)
      to[i] = rstd * (gradient[i] * weight[i] - from[i] * rstd * dot / static_cast<double>(num_columns));
  }
  at::Tensor dw_D = zeros_f64({num_columns});
  for (int64_t t = 0; t < x.size(0); ++t) dw_D += dw.select(0, t);
  return {dx, dw_D};
}

at::Tensor swiglu(const at::Tensor& gate_up_T2F) {
  const at::Tensor gate_up = as_f64(gate_up_T2F);
  const int64_t width = gate_up.size(1) / 2;
  at::Tensor h = zeros_f64({gate_up.size(0), width});
  for (int64_t t = 0; t < gate_up.size(0); ++t)
    for (int64_t i = 0; i < width; ++i) {
      const double* row = gate_up.const_data_ptr<double>() + 2 * t * width;
      h.mutable_data_ptr<double>()[t * width + i] = row[i] * sigmoid(row[i]) * row[width + i];
    }
  return h;
}

at::Tensor swiglu_backward(const at::Tensor& dh_TF, const at::Tensor& gate_up_T2F) {
  const at::Tensor gate_up = as_f64(gate_up_T2F), dh = as_f64(dh_TF);
  const int64_t width = dh.size(1);
  at::Tensor out = zeros_f64(gate_up.sizes());
  for (int64_t t = 0; t < dh.size(0); ++t)
    for (int64_t i = 0; i < width; ++i) {
      const double* row = gate_up.const_data_ptr<double>() + 2 * t * width;
      double* to = out.mutable_data_ptr<double>() + 2 * t * width;
      const double d = dh.const_data_ptr<double>()[t * width + i], s = sigmoid(row[i]);
      to[i] = d * row[width + i] * s * (1 + row[i] * (1 - s));
      to[width + i] = d * row[i] * s;
    }
  return out;
}

at::Tensor rotary(const at::Tensor& x_THD, const at::Tensor& cos_TR, const at::Tensor& sin_TR,
                  const RotaryOptions& options) {
  const at::Tensor x = as_f64(x_THD), cos = as_f64(cos_TR), sin = as_f64(sin_TR);
  at::Tensor out = x.clone();
  const int64_t num_pairs = cos.size(1), head_size = x.size(2);
  for (int64_t t = 0; t < x.size(0); ++t)
    for (int64_t h = 0; h < x.size(1); ++h)
      for (int64_t i = 0; i < num_pairs; ++i) {
        const int64_t head = (t * x.size(1) + h) * head_size + options.column;
        const double* from = x.const_data_ptr<double>() + head;
        double* to = out.mutable_data_ptr<double>() + head;
        const double c = cos.const_data_ptr<double>()[t * num_pairs + i],
                     s = sin.const_data_ptr<double>()[t * num_pairs + i] * (options.inverse ? -1 : 1);
        const bool pairs_in = options.interleaved && !options.inverse,
                   pairs_out = options.interleaved && options.inverse;
        const double a = from[pairs_in ? 2 * i : i], b = from[pairs_in ? 2 * i + 1 : i + num_pairs];
        to[pairs_out ? 2 * i : i] = a * c - b * s;
        to[pairs_out ? 2 * i + 1 : i + num_pairs] = b * c + a * s;
      }
  return out;
}

at::Tensor ordered_sum(const std::vector<at::Tensor>& parts) {
  return tree(parts, 0, parts.size());
}

at::Tensor chunk_square_sums(const at::Tensor& flat) {
  const at::Tensor x = as_f64(flat);
  at::Tensor out = zeros_f64({(x.numel() + kFlatAlignment - 1) / kFlatAlignment});
  for (int64_t i = 0; i < x.numel(); ++i) {
    const double value = x.const_data_ptr<double>()[i];
    out.mutable_data_ptr<double>()[i / kFlatAlignment] += value * value;
  }
  return out;
}

void adamw(const AdamWState& state, const at::Tensor& gradient, const std::vector<ElementRange>& decay,
           const AdamWOptions& o) {
  const at::Tensor g = as_f64(gradient) * o.gradient_scale;
  double *p = state.master.mutable_data_ptr<double>(), *m = state.exp_avg.mutable_data_ptr<double>(),
         *v = state.exp_avg_sq.mutable_data_ptr<double>();
  const double correction1 = 1 - std::pow(o.beta1, o.step), correction2 = 1 - std::pow(o.beta2, o.step);
  for (const auto& [begin, end] : decay)
    for (int64_t i = begin; i < end; ++i) p[i] *= 1 - o.learning_rate * o.weight_decay;
  for (int64_t i = 0; i < g.numel(); ++i) {
    const double value = g.const_data_ptr<double>()[i];
    m[i] = o.beta1 * m[i] + (1 - o.beta1) * value;
    v[i] = o.beta2 * v[i] + (1 - o.beta2) * value * value;
    p[i] -= o.learning_rate / correction1 * m[i] / (std::sqrt(v[i]) / std::sqrt(correction2) + o.eps);
  }
}

}  // namespace athanor::kernels::reference
