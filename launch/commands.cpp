#include "launch/commands.h"

namespace athanor::launch {

// In the order of the work: configure, prepare data, train, use the model.
void add_all_commands(Command root) {
  add_train_command(root);
  add_config_commands(root);
  add_synth_command(root);
  add_clean_command(root);
  add_tokenizer_command(root);
  add_shards_command(root);
  add_score_command(root);
  add_generate_command(root);
  add_export_command(root);
  add_checkpoint_command(root);
  add_doctor_command(root);
}

}  // namespace athanor::launch
