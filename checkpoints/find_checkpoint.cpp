#include "checkpoints/find_checkpoint.h"

#include <filesystem>

#include "checkpoints/checkpoint_directory.h"
#include "checkpoints/manifest.h"
#include "configs/load.h"

namespace athanor::checkpoints {

bool is_checkpoint(core::FileSystem& fs, const std::string& path) {
  return fs.exists(path + "/" + std::string(kManifestName)) ||
         step_of_name(std::filesystem::path(path).filename().string()).has_value();
}

std::string directory_of_checkpoints(core::FileSystem& fs, const std::string& path) {
  const std::string inside = path + "/checkpoints", config = path + "/config.yaml";
  for (const std::string& directory : {path, inside})
    if (!list_checkpoints(fs, directory).empty()) return directory;
  if (!fs.exists(config)) return path;
  const std::string elsewhere = configs::load_run_config(config).checkpoint.dir;
  return elsewhere.empty() ? path : elsewhere;
}

}  // namespace athanor::checkpoints
