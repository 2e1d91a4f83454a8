#include "tests/support/crash_file_system.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/error.h"
#include "core/rng.h"

namespace athanor::tests {

using core::IoError;
using core::MissingInputError;

/// A file or a directory.
struct CrashFileSystem::Node {
  using Names = std::map<std::string, std::shared_ptr<Node>>;
  /// Changes that one operation made to the names: a null node means that the name goes.
  using Change = std::vector<std::pair<std::string, std::shared_ptr<Node>>>;

  bool is_directory = false;
  std::string content, synced_content;
  Names names, synced_names;
  std::vector<Change> unsynced_changes;

  void apply(const Change& change) {
    apply_to(names, change);
    unsynced_changes.push_back(change);
  }
  static void apply_to(Names& names, const Change& change) {
    for (const auto& [name, node] : change) {
      if (node)
        names[name] = node;
      else
        names.erase(name);
    }
  }
};

namespace {

using Node = CrashFileSystem::Node;
constexpr size_t kBlockBytes = 512;

std::vector<std::string> components_of(const std::string& path) {
  std::vector<std::string> components;
  for (size_t at = 0; at < path.size();) {
    const size_t end = std::min(path.find('/', at), path.size());
    if (end > at && path.substr(at, end - at) != ".") components.push_back(path.substr(at, end - at));
    at = end + 1;
  }
  return components;
}

std::string last_of(const std::string& path) {
  const auto components = components_of(path);
  return components.empty() ? "" : components.back();
}

// Decides what survives. Asked in a fixed order, so that a seed names one outcome.
class Chance {
 public:
  Chance(Unsynced unsynced, uint64_t seed) : unsynced_(unsynced), rng_(seed, "crash") {}
  bool survives() { return unsynced_ == Unsynced::kKept || (unsynced_ == Unsynced::kMixed && below(2) == 1); }
  uint64_t below(uint64_t bound) { return rng_.below(counter_++, bound); }
  bool is_mixed() const { return unsynced_ == Unsynced::kMixed; }

 private:
  Unsynced unsynced_;
  core::CounterRng rng_;
  uint64_t counter_ = 0;
};

std::string surviving_content(const Node& file, Chance& chance) {
  if (file.content == file.synced_content) return file.content;
  if (!chance.is_mixed()) return chance.survives() ? file.content : file.synced_content;
  std::string content =
      chance.survives() ? file.content : file.content.substr(0, chance.below(file.content.size() + 1));
  content.resize(std::max(content.size(), file.synced_content.size()));
  for (size_t at = 0; at < content.size(); at += kBlockBytes) {
    const size_t count = std::min(kBlockBytes, content.size() - at);
    const bool is_synced = at + count <= file.synced_content.size() && at + count <= file.content.size() &&
                           file.content.compare(at, count, file.synced_content, at, count) == 0;
    if (!is_synced && !chance.survives()) std::memset(content.data() + at, 0, count);
  }
  return content;
}

std::shared_ptr<Node> surviving(const Node& node, Chance& chance) {
  auto result = std::make_shared<Node>();
  result->is_directory = node.is_directory;
  result->content = result->synced_content = node.is_directory ? "" : surviving_content(node, chance);
  Node::Names names = node.synced_names;
  for (const auto& change : node.unsynced_changes)
    if (chance.survives()) Node::apply_to(names, change);
  for (const auto& [name, child] : names) result->names[name] = surviving(*child, chance);
  result->synced_names = result->names;
  return result;
}

class CrashReadableFile : public core::ReadableFile {
 public:
  CrashReadableFile(std::string content, std::string path)
      : content_(std::move(content)), path_(std::move(path)) {}
  uint64_t size() const override { return content_.size(); }
  void read(uint64_t offset, std::span<std::byte> out) const override {
    if (offset > content_.size() || out.size() > content_.size() - offset)
      throw core::DataError("{}: ends at byte {}, {} more were expected", path_, content_.size(), out.size());
    if (!out.empty()) std::memcpy(out.data(), content_.data() + offset, out.size());
  }

 private:
  std::string content_, path_;
};

}  // namespace

class CrashWritableFile : public core::WritableFile {
 public:
  CrashWritableFile(CrashFileSystem& fs, std::shared_ptr<Node> node) : fs_(fs), node_(std::move(node)) {}
  void append(std::span<const std::byte> bytes) override {
    std::lock_guard lock(fs_.mutex_);
    fs_.step();
    node_->content.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  void sync() override {
    std::lock_guard lock(fs_.mutex_);
    fs_.step();
    node_->synced_content = node_->content;
  }
  void close() override {
    std::lock_guard lock(fs_.mutex_);
    fs_.step();
  }

 private:
  CrashFileSystem& fs_;
  std::shared_ptr<Node> node_;
};

CrashFileSystem::CrashFileSystem(uint64_t last_operation)
    : root_(std::make_shared<Node>()), last_operation_(last_operation) {
  root_->is_directory = true;
}

CrashFileSystem::~CrashFileSystem() = default;

uint64_t CrashFileSystem::num_operations() const {
  std::lock_guard lock(mutex_);
  return num_operations_;
}

bool CrashFileSystem::has_crashed() const {
  std::lock_guard lock(mutex_);
  return has_crashed_;
}

void CrashFileSystem::arm(uint64_t last_operation) {
  std::lock_guard lock(mutex_);
  num_operations_ = 0;
  last_operation_ = last_operation;
}

std::unique_ptr<CrashFileSystem> CrashFileSystem::after_power_loss(Unsynced unsynced, uint64_t seed) const {
  std::lock_guard lock(mutex_);
  Chance chance(unsynced, seed);
  auto next = std::make_unique<CrashFileSystem>();
  next->root_ = surviving(*root_, chance);
  return next;
}

void CrashFileSystem::step() {
  if (num_operations_ >= last_operation_) has_crashed_ = true;
  if (has_crashed_) throw IoError("the machine has lost power");
  ++num_operations_;
}

CrashFileSystem::NodePtr CrashFileSystem::find(const std::string& path) const {
  NodePtr node = root_;
  for (const std::string& name : components_of(path)) {
    const auto child = node->names.find(name);
    if (child == node->names.end()) return nullptr;
    node = child->second;
  }
  return node;
}

CrashFileSystem::NodePtr CrashFileSystem::find_parent(const std::string& path) const {
  NodePtr node = root_;
  auto components = components_of(path);
  components.pop_back();
  for (const std::string& name : components) {
    const auto child = node->names.find(name);
    if (child == node->names.end())
      throw core::CannotWriteError("cannot create {}: No such file or directory", path);
    node = child->second;
  }
  return node;
}

std::unique_ptr<core::WritableFile> CrashFileSystem::create(const std::string& path) {
  std::lock_guard lock(mutex_);
  step();
  const auto node = std::make_shared<Node>();
  find_parent(path)->apply({{last_of(path), node}});
  return std::make_unique<CrashWritableFile>(*this, node);
}

std::unique_ptr<core::WritableFile> CrashFileSystem::open_append(const std::string& path) {
  if (!exists(path)) return create(path);
  std::lock_guard lock(mutex_);
  step();
  return std::make_unique<CrashWritableFile>(*this, find(path));
}

std::unique_ptr<core::ReadableFile> CrashFileSystem::open(const std::string& path) {
  std::lock_guard lock(mutex_);
  const NodePtr node = find(path);
  if (!node) throw MissingInputError("{}: no such file; check the path", path);
  if (node->is_directory) throw core::DataError("{}: a file was expected, this is a directory", path);
  return std::make_unique<CrashReadableFile>(node->content, path);
}

void CrashFileSystem::rename(const std::string& from, const std::string& to) {
  std::lock_guard lock(mutex_);
  step();
  const NodePtr node = find(from), target = find(to);
  const NodePtr from_parent = find_parent(from), to_parent = find_parent(to);
  if (!node) throw core::CannotWriteError("cannot rename {} to {}: No such file or directory", from, to);
  if (target && target->is_directory && !target->names.empty())
    throw core::CannotWriteError("cannot rename {} to {}: Directory not empty", from, to);
  if (from_parent == to_parent) {
    from_parent->apply({{last_of(from), nullptr}, {last_of(to), node}});
    return;
  }
  from_parent->apply({{last_of(from), nullptr}});
  to_parent->apply({{last_of(to), node}});
}

void CrashFileSystem::create_directories(const std::string& path) {
  std::lock_guard lock(mutex_);
  step();
  NodePtr node = root_;
  for (const std::string& name : components_of(path)) {
    if (!node->names.contains(name)) {
      const auto directory = std::make_shared<Node>();
      directory->is_directory = true;
      node->apply({{name, directory}});
    }
    node = node->names.at(name);
  }
}

void CrashFileSystem::sync_directory(const std::string& path) {
  std::lock_guard lock(mutex_);
  step();
  const NodePtr node = find(path);
  if (!node) throw IoError("cannot open the directory {}: No such file or directory", path);
  node->synced_names = node->names;
  node->unsynced_changes.clear();
}

// One name at a time, the deepest first, as a disk sees it; power may fail between any two.
void CrashFileSystem::remove_all(const std::string& path) {
  if (is_directory(path))
    for (const std::string& name : list(path)) remove_all(path + "/" + name);
  std::lock_guard lock(mutex_);
  step();
  if (find(path)) find_parent(path)->apply({{last_of(path), nullptr}});
}

void CrashFileSystem::truncate(const std::string& path, uint64_t size) {
  std::lock_guard lock(mutex_);
  step();
  find(path)->content.resize(size);
}

bool CrashFileSystem::exists(const std::string& path) {
  std::lock_guard lock(mutex_);
  return find(path) != nullptr;
}

bool CrashFileSystem::is_directory(const std::string& path) {
  std::lock_guard lock(mutex_);
  const NodePtr node = find(path);
  return node && node->is_directory;
}

std::vector<std::string> CrashFileSystem::list(const std::string& path) {
  std::lock_guard lock(mutex_);
  const NodePtr node = find(path);
  if (!node) throw MissingInputError("{}: no such file; check the path", path);
  std::vector<std::string> names;
  for (const auto& [name, child] : node->names) names.push_back(name);
  return names;
}

uint64_t CrashFileSystem::file_size(const std::string& path) {
  std::lock_guard lock(mutex_);
  const NodePtr node = find(path);
  if (!node) throw MissingInputError("{}: no such file; check the path", path);
  return node->content.size();
}

}  // namespace athanor::tests
