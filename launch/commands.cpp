#include "launch/commands.h"

namespace athanor::launch {

void add_light_commands(Command root) {
  add_config_commands(root);
  add_tokenizer_command(root);
  add_shards_command(root);
  add_checkpoint_command(root);
}

}  // namespace athanor::launch
