#include "model/autograd.h"

#include <ATen/DeviceAccelerator.h>  // function.h needs it and relies on ATen/Context.h, which is left out
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/edge.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/variable.h>

#include "core/error.h"

namespace athanor::model {
namespace {

class ClosureNode : public torch::autograd::Node {
 public:
  explicit ClosureNode(Backward backward) : backward_(std::move(backward)) {}

  torch::autograd::variable_list apply(torch::autograd::variable_list&& gradients) override {
    ATHANOR_CHECK(backward_ != nullptr, "a graph was walked twice");
    Tensors contiguous(gradients.size());
    for (size_t i = 0; i < gradients.size(); ++i)
      if (gradients[i].defined()) contiguous[i] = gradients[i].contiguous();
    return backward_(contiguous);
  }
  void release_variables() override { backward_ = nullptr; }
  std::string name() const override { return "athanor::ClosureNode"; }

 private:
  Backward backward_;
};

}  // namespace

void record(const Tensors& outputs, const Tensors& inputs, Backward backward) {
  if (!c10::GradMode::is_enabled()) return;
  torch::autograd::edge_list edges;
  bool any = false;
  for (const at::Tensor& input : inputs) {
    const bool wanted = input.defined() && input.requires_grad();
    edges.push_back(wanted ? torch::autograd::impl::gradient_edge(input) : torch::autograd::Edge());
    any |= wanted;
  }
  if (!any) return;
  std::shared_ptr<ClosureNode> node(new ClosureNode(std::move(backward)), torch::autograd::deleteNode);
  node->set_next_edges(std::move(edges));
  for (at::Tensor output : outputs) torch::autograd::create_gradient_edge(output, node);
}

Tensors backpropagate(const Tensors& roots, const Tensors& root_gradients, const Tensors& inputs) {
  Tensors used_roots, used_gradients;
  for (size_t i = 0; i < roots.size(); ++i) {
    if (!roots[i].defined() || !roots[i].requires_grad() || !root_gradients[i].defined()) continue;
    used_roots.push_back(roots[i]);
    used_gradients.push_back(root_gradients[i]);
  }
  if (used_roots.empty()) return Tensors(inputs.size());
  return torch::autograd::grad(used_roots, inputs, used_gradients, /*retain_graph=*/false,
                               /*create_graph=*/false,
                               /*allow_unused=*/true);
}

at::Tensor as_leaf(const at::Tensor& tensor) {
  at::Tensor leaf = tensor.detach();
  leaf.set_requires_grad(true);
  return leaf;
}

}  // namespace athanor::model
