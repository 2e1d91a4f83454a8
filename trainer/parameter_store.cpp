#include "trainer/parameter_store.h"

#include <algorithm>
#include <unordered_map>

#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include "core/error.h"
#include "trainer/quantised_weights.h"

namespace athanor::trainer {

using model::Parameter;
using parallel::ElementRange;

struct ParameterStore::Group {
  std::vector<Parameter*> parameters;
  parallel::FlatLayout layout;
  parallel::Communicator& comm;
  parallel::OrderedReduction& reduction;
  parallel::GradientTree tree;
  size_t last_contributor = 0;  ///< block that is the last to add to the gradient, on the way back

  std::unique_ptr<QuantisedWeights> quantised;  ///< FP8 training: for a group of linear layers' matrices

  at::Tensor weights;         ///< compute dtype: the whole buffer, or at stage 3 this rank's shard
  at::Tensor gathered;        ///< stage 3: the whole buffer while some block uses it
  at::Tensor gathered_codes;  ///< the codes of all ranks on their way, when weights travel as such
  parallel::Pending gather;
  int num_users = 0;
  at::Tensor gradients;  ///< fp32, the whole buffer, from the first contribution to the end of the reduction
  parallel::Pending reduction_pending;
  bool is_reducing = false;

  int num_shards() const { return comm.size(); }
  int64_t padded_size() const { return layout.padded_size(num_shards()); }
  ElementRange shard() const { return layout.shard(num_shards(), comm.rank()); }
};

namespace {

std::vector<parallel::NamedShape> shapes_of(const std::vector<Parameter*>& parameters) {
  std::vector<parallel::NamedShape> shapes;
  for (const Parameter* parameter : parameters)
    shapes.push_back({parameter->name, parameter->shape, parameter->is_expert});
  return shapes;
}

// The parts of a flat buffer between parameters, which norms and updates run over too, must hold zeros.
void zero_gaps(const parallel::FlatLayout& layout, const at::Tensor& flat) {
  int64_t position = 0;
  const auto zero_up_to = [&](int64_t end) {
    if (end > position) flat.narrow(0, position, end - position).zero_();
  };
  for (const auto& piece : layout.pieces({0, flat.size(0)})) {
    zero_up_to(piece.slice_begin);
    position = piece.slice_begin + piece.parameter_end - piece.parameter_begin;
  }
  zero_up_to(flat.size(0));
}

at::Tensor part(const at::Tensor& flat, const ElementRange& range) {
  return flat.narrow(0, range.begin, range.end - range.begin);
}

}  // namespace

ParameterStore::ParameterStore(model::Model& model, const ReplicaAxes& axes,
                               const ParameterStoreOptions& options)
    : model_(model),
      options_(options),
      shard_pool_(at::kFloat, options.device),
      gradient_pool_(at::kFloat, options.device),
      gather_pool_(options.compute_dtype, options.device),
      code_pool_(at::kFloat8_e4m3fn, options.device) {
  ATHANOR_CHECK(!options.fp8 || options.compute_dtype == at::kBFloat16,
                "FP8 training computes in BFloat16 between products, not in {}",
                c10::toString(options.compute_dtype));
  for (const auto& block : model.blocks) {
    groups_of_block_.emplace_back();
    std::vector<Parameter*> kinds[8];
    for (Parameter* parameter : block->parameters()) {
      const bool is_fp8 = options.fp8 && parameter->takes_fp8();
      kinds[4 * is_fp8 + 2 * parameter->is_expert + parameter->is_cut].push_back(parameter);
    }
    for (auto& parameters : kinds)
      if (!parameters.empty()) add_group(std::move(parameters), axes);
  }
  find_contributors();
  for (auto& group : groups_) allocate(*group);
}

// A group of the block added last.
void ParameterStore::add_group(std::vector<Parameter*> parameters, const ReplicaAxes& axes) {
  parallel::Communicator& comm = axes.of(*parameters.front());
  auto& reduction = reductions_[&comm];
  if (!reduction) reduction = std::make_unique<parallel::OrderedReduction>(comm);
  parallel::FlatLayout layout(shapes_of(parameters));
  const int64_t shard_size = layout.shard_size(comm.size());
  groups_.push_back(
      std::unique_ptr<Group>(new Group{.parameters = std::move(parameters),
                                       .layout = std::move(layout),
                                       .comm = comm,
                                       .reduction = *reduction,
                                       .tree = parallel::GradientTree(shard_size, shard_pool_)}));
  groups_of_block_.back().push_back(groups_.back().get());
}

// A block uses the groups of its own parameters and of those it borrows; the first user of a group on the way
// forward is the last to add to its gradient on the way back.
void ParameterStore::find_contributors() {
  std::unordered_map<const Parameter*, Group*> group_of;
  for (auto& group : groups_)
    for (const Parameter* parameter : group->parameters) group_of[parameter] = group.get();
  for (size_t i = model_.blocks.size(); i-- > 0;) {
    auto& used = groups_of_block_[i];
    for (const Parameter* parameter : model_.blocks[i]->borrowed()) {
      Group* group = group_of.at(parameter);
      if (std::find(used.begin(), used.end(), group) == used.end()) used.push_back(group);
    }
    for (Group* group : used) group->last_contributor = i;
  }
}

void ParameterStore::allocate(Group& group) {
  const bool shards_weights = options_.zero_stage == 3, shards_masters = options_.zero_stage >= 1;
  const bool is_fp32 = options_.compute_dtype == at::kFloat;
  const ElementRange all{0, group.padded_size()}, mine = group.shard();
  const auto f32 = at::TensorOptions().dtype(at::kFloat).device(options_.device);
  group.weights =
      at::zeros({shards_weights ? mine.end - mine.begin : all.end}, f32.dtype(options_.compute_dtype));
  group.comm.register_memory(group.weights);  // gathered, or reduced into, every step
  if (options_.fp8 && group.parameters.front()->takes_fp8())
    group.quantised = std::make_unique<QuantisedWeights>(
        group.parameters, group.layout, group.comm,
        QuantisedWeightsOptions{
            .scale = *options_.fp8,
            .range = shards_masters ? mine : all,
            .keeps_codes = shards_masters && options_.gathers_fp8 && group.num_shards() > 1,
            .device = options_.device});
  if (!shards_weights) bind_values(group, group.weights);
  OptimizerSlice slice{&group.parameters, &group.layout, shards_masters ? mine : all, mine, {}, {}};
  const at::Tensor computed = computed_slice(group);
  slice.master = is_fp32 ? computed : at::zeros({slice.range.end - slice.range.begin}, f32);
  if (!is_fp32) slice.compute = computed;
  slices_.push_back(slice);
}

ParameterStore::~ParameterStore() = default;

// The part of the weights that this rank updates.
at::Tensor ParameterStore::computed_slice(const Group& group) const {
  const bool is_part = options_.zero_stage == 1 || options_.zero_stage == 2;
  return is_part ? part(group.weights, group.shard()) : group.weights;
}

void ParameterStore::bind_values(Group& group, const at::Tensor& flat) {
  if (group.quantised) return group.quantised->bind(flat);
  const auto& placed = group.layout.parameters();
  for (size_t i = 0; i < placed.size(); ++i)
    group.parameters[i]->value = flat.defined() ? group.layout.view(flat, placed[i]) : at::Tensor();
}

void ParameterStore::start_gather(Group& group) {
  if (group.gathered.defined() || group.gathered_codes.defined()) return;
  if (group.quantised && group.quantised->keeps_codes()) {
    group.gathered_codes = code_pool_.take(group.padded_size());
    group.gather = group.comm.all_gather(group.gathered_codes, group.quantised->codes());
  } else {
    group.gathered = gather_pool_.take(group.padded_size());
    group.gather = group.comm.all_gather(group.gathered, group.weights);
  }
}

void ParameterStore::finish_gather(Group& group) {
  group.gather.wait();
  if (!group.gathered_codes.defined()) return;
  group.gathered = gather_pool_.take(group.padded_size());
  group.quantised->decode(group.gathered, group.gathered_codes);
  code_pool_.give(std::exchange(group.gathered_codes, at::Tensor()));
}

void ParameterStore::prefetch(size_t block_idx) {
  if (options_.zero_stage < 3) return;
  for (Group* group : groups_of_block_[block_idx]) start_gather(*group);
}

void ParameterStore::acquire(size_t block_idx) {
  if (options_.zero_stage < 3) return;
  for (Group* group : groups_of_block_[block_idx]) {
    start_gather(*group);
    if (group->num_users++ > 0) continue;
    finish_gather(*group);
    bind_values(*group, group->gathered);
  }
}

void ParameterStore::release(size_t block_idx) {
  if (options_.zero_stage < 3) return;
  for (Group* group : groups_of_block_[block_idx]) {
    if (--group->num_users > 0) continue;
    bind_values(*group, at::Tensor());
    gather_pool_.give(std::exchange(group->gathered, at::Tensor()));
  }
}

void ParameterStore::begin_backward(size_t block_idx) {
  for (Group* group : groups_of_block_[block_idx]) {
    if (group->gradients.defined()) continue;
    group->gradients = gradient_pool_.take(group->padded_size());
    zero_gaps(group->layout, group->gradients);
    const auto& placed = group->layout.parameters();
    for (size_t i = 0; i < placed.size(); ++i) {
      group->parameters[i]->gradient = group->layout.view(group->gradients, placed[i]);
      group->parameters[i]->has_gradient = false;
    }
  }
}

void ParameterStore::end_backward(size_t block_idx) {
  if (!reduces_now_) return;  // the next micro batch adds to the same buffers
  for (Group* group : groups_of_block_[block_idx]) {
    if (group->last_contributor != block_idx) continue;
    for (Parameter* parameter : group->parameters) {
      if (!parameter->has_gradient) parameter->gradient.zero_();
      parameter->gradient = at::Tensor();
    }
    group->reduction_pending = group->reduction.reduce_scatter(group->tree.next(), group->gradients);
    group->is_reducing = true;
    // One reduction in flight beside the next block's computation: the one before it is finished first.
    for (auto& other : groups_)
      if (other.get() != group && other->is_reducing) finish_reduction(*other);
  }
}

void ParameterStore::finish_reduction(Group& group) {
  group.reduction_pending.wait();
  group.tree.add();
  group.is_reducing = false;
  gradient_pool_.give(std::exchange(group.gradients, at::Tensor()));
}

void ParameterStore::begin_micro_batch(bool is_last) {
  reduces_now_ = is_last || !options_.reduces_once_per_step || options_.zero_stage >= 2;
}

void ParameterStore::finish_micro_batch() {
  for (auto& group : groups_)
    if (group->is_reducing) finish_reduction(*group);
}

std::vector<at::Tensor> ParameterStore::gradient_shards() {
  std::vector<at::Tensor> shards;
  for (auto& group : groups_) shards.push_back(group->tree.result());
  return shards;
}

std::vector<at::Tensor> ParameterStore::slice_gradients() {
  std::vector<at::Tensor> gradients;
  for (auto& group : groups_) {
    const at::Tensor shard = group->tree.result();
    if (options_.zero_stage >= 1 || group->num_shards() == 1) {
      gradients.push_back(shard);
      continue;
    }
    group->gradients = gradient_pool_.take(group->padded_size());
    group->comm.all_gather(group->gradients, shard).wait();
    gradients.push_back(group->gradients);
  }
  return gradients;
}

void ParameterStore::clear_gradients() {
  for (auto& group : groups_) {
    group->tree.reset();
    if (group->gradients.defined()) gradient_pool_.give(std::exchange(group->gradients, at::Tensor()));
  }
}

int64_t ParameterStore::weight_bytes() const {
  int64_t bytes = 0;
  for (const auto& group : groups_) bytes += static_cast<int64_t>(group->weights.nbytes());
  return bytes;
}

void ParameterStore::load(const Reader& reader) {
  for (const OptimizerSlice& slice : slices_) {
    const at::Tensor on_host = slice.master.cpu();  // on the CPU, the master itself
    float* master = on_host.mutable_data_ptr<float>();
    for (const auto& piece : slice.layout->pieces(slice.range)) {
      const auto count = static_cast<size_t>(piece.parameter_end - piece.parameter_begin);
      reader(*slice.parameters->at(piece.parameter_idx), piece.parameter_begin,
             {master + piece.slice_begin, count});
    }
    if (!slice.master.is_cpu()) at::Tensor(slice.master).copy_(on_host);
  }
  share_masters();
}

void ParameterStore::share_masters() {
  for (const OptimizerSlice& slice : slices_)
    if (slice.compute.defined()) at::Tensor(slice.compute).copy_(slice.master);
  publish();
}

void ParameterStore::publish() {
  quantise_weights();
  if (options_.zero_stage != 1 && options_.zero_stage != 2) return;
  for (auto& group : groups_) gather_weights(*group);
}

// All maxima are on their way before the first is waited for.
void ParameterStore::quantise_weights() {
  for (auto& group : groups_)
    if (group->quantised) group->quantised->begin(computed_slice(*group), options_.zero_stage >= 1);
  for (auto& group : groups_)
    if (group->quantised) group->quantised->finish(computed_slice(*group));
}

void ParameterStore::gather_weights(Group& group) {
  if (!group.quantised || !group.quantised->keeps_codes()) {
    group.comm.all_gather(group.weights, computed_slice(group)).wait();
    return;
  }
  const at::Tensor codes = code_pool_.take(group.padded_size());
  group.comm.all_gather(codes, group.quantised->codes()).wait();
  group.quantised->decode(group.weights, codes);
  code_pool_.give(codes);
}

}  // namespace athanor::trainer
