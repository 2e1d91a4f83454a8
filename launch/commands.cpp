#include "launch/commands.h"

namespace athanor::launch {

void add_all_commands(CLI::App& root) {
  add_checkpoint_command(root);
}

}  // namespace athanor::launch
