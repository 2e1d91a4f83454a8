#include "launch/commands.h"

namespace athanor::launch {

void add_all_commands(CLI::App& root) {
  add_config_commands(root);
}

}  // namespace athanor::launch
