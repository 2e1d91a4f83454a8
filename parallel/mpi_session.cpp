#include "parallel/mpi_session.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <unistd.h>

#include <mpi.h>

#include "core/error.h"
#include "core/log.h"
#include "parallel/cuda_device.h"
#include "parallel/device_communicator.h"
#include "parallel/job_watch.h"
#include "parallel/mpi_communicator.h"
#include "parallel/mpi_support.h"
#include "parallel/nccl_communicator.h"
#include "parallel/self_communicator.h"

namespace athanor::parallel {

std::string mpi_error_text(int code) {
  char text[MPI_MAX_ERROR_STRING + 1] = {};
  int length = 0;
  MPI_Error_string(code, text, &length);
  return std::string(text, length);
}

void check_mpi(int code, const char* call) {
  if (code != MPI_SUCCESS) throw core::CommError("{} failed: {}", call, mpi_error_text(code));
}

struct MpiSession::State {
  double timeout_s = 0;
  int rank = 0, size = 1, local_rank = 0, local_size = 1;
  std::string host;
  MPI_Comm local = MPI_COMM_NULL;
  MPI_Win board_window = MPI_WIN_NULL;
  ReportDesk* desk = nullptr;  // in front of the slots
  std::unique_ptr<ProgressBoard> board;
  std::unique_ptr<JobWatch> watch;
  Progress progress;
  std::shared_ptr<std::vector<std::string>> axis_names = std::make_shared<std::vector<std::string>>();
  std::unique_ptr<Communicator> world;
  c10::Device device = at::kCPU;
  std::shared_ptr<NcclJob> nccl;  // null: tensors live on the host
  bool finished = false;

  void initialise_library();
  void find_neighbours(int ranks_per_machine);
  void open_board();
  void start_watch();
  void open_device(const SessionOptions& options);
  MpiGroup make_group(const std::string& axis, MPI_Comm comm, const std::vector<int>& world_ranks);
  std::unique_ptr<Communicator> make_communicator(const std::string& axis, MPI_Comm comm,
                                                  const std::vector<int>& world_ranks);
  std::unique_ptr<Communicator> make_two_sided(const std::string& axis, MPI_Comm comm,
                                               const std::vector<int>& world_ranks);
};

namespace {

MPI_Comm duplicate(MPI_Comm comm) {
  MPI_Comm copy = MPI_COMM_NULL;
  check_mpi(MPI_Comm_dup(comm, &copy), "MPI_Comm_dup");
  check_mpi(MPI_Comm_set_errhandler(copy, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  return copy;
}

std::vector<int> all_ranks(int size) {
  std::vector<int> ranks(size);
  for (int r = 0; r < size; ++r) ranks[r] = r;
  return ranks;
}

}  // namespace

MpiSession::MpiSession(const SessionOptions& options) : state_(std::make_unique<State>()) {
  state_->timeout_s = options.timeout_s;
  state_->initialise_library();
  state_->find_neighbours(options.ranks_per_machine);
  if (!options.host.empty()) state_->host = options.host;
  state_->open_board();
  if (options.on_cuda) state_->open_device(options);
  state_->start_watch();
  state_->world = state_->make_communicator("world", MPI_COMM_WORLD, all_ranks(state_->size));
}

// The peers need not look for a process that gives up in order.
MpiSession::~MpiSession() {
  if (!state_->finished) state_->board->own().state = RankState::kFailed;
}

void MpiSession::State::initialise_library() {
  constexpr int kNeeded = MPI_THREAD_MULTIPLE;  // an enumerator in Open MPI 5, a macro before
  int already = 0, provided = MPI_THREAD_SINGLE;
  MPI_Initialized(&already);
  ATHANOR_CHECK(!already, "a second MPI session in one process");
  check_mpi(MPI_Init_thread(nullptr, nullptr, kNeeded, &provided), "MPI_Init_thread");
  check_mpi(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  if (provided < kNeeded)
    throw core::CommError(
        "this MPI library gives thread level {}, MPI_THREAD_MULTIPLE ({}) is needed: use one built "
        "with thread support, such as the distribution's Open MPI",
        provided, kNeeded);
  check_mpi(MPI_Comm_rank(MPI_COMM_WORLD, &rank), "MPI_Comm_rank");
  check_mpi(MPI_Comm_size(MPI_COMM_WORLD, &size), "MPI_Comm_size");
}

void MpiSession::State::find_neighbours(int ranks_per_machine) {
  check_mpi(MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, rank, MPI_INFO_NULL, &local),
            "MPI_Comm_split_type");
  if (ranks_per_machine > 0)
    check_mpi(MPI_Comm_split(MPI_COMM_WORLD, rank / ranks_per_machine, rank, &local), "MPI_Comm_split");
  check_mpi(MPI_Comm_rank(local, &local_rank), "MPI_Comm_rank");
  check_mpi(MPI_Comm_size(local, &local_size), "MPI_Comm_size");
  char name[MPI_MAX_PROCESSOR_NAME + 1] = {};
  int length = 0;
  check_mpi(MPI_Get_processor_name(name, &length), "MPI_Get_processor_name");
  host.assign(name, length);
}

// The slots of this machine's ranks lie in one shared segment that MPI removes even after a crash.
void MpiSession::State::open_board() {
  void* unused = nullptr;
  const size_t size_bytes = sizeof(ReportDesk) + local_size * sizeof(BoardSlot);
  check_mpi(MPI_Win_allocate_shared(local_rank == 0 ? size_bytes : 0, 1, MPI_INFO_NULL, local, &unused,
                                    &board_window),
            "MPI_Win_allocate_shared");
  MPI_Aint num_bytes = 0;
  int unit = 0;
  void* memory = nullptr;
  check_mpi(MPI_Win_shared_query(board_window, 0, &num_bytes, &unit, &memory), "MPI_Win_shared_query");
  std::vector<int> world_ranks(local_size);
  check_mpi(MPI_Allgather(&rank, 1, MPI_INT, world_ranks.data(), 1, MPI_INT, local), "MPI_Allgather");
  if (local_rank == 0) std::memset(memory, 0, num_bytes);
  check_mpi(MPI_Barrier(local), "MPI_Barrier");
  desk = static_cast<ReportDesk*>(memory);
  board = std::make_unique<ProgressBoard>(reinterpret_cast<BoardSlot*>(desk + 1), world_ranks, rank, size);
  progress = Progress(&board->own());
  board->own().pid = ::getpid();
  board->own().pid_namespace = own_pid_namespace();
  board->own().state = RankState::kRunning;
  check_mpi(MPI_Barrier(local), "MPI_Barrier");
}

// A machine goes by the lowest of its world ranks.
void MpiSession::State::start_watch() {
  JobFacts facts{.rank = rank,
                 .timeout_s = timeout_s,
                 .hosts = {},
                 .machine_of_rank = std::vector<int>(size),
                 .control_handle = MPI_Comm_c2f(duplicate(MPI_COMM_WORLD)),
                 .axis_names = axis_names};
  const int machine = *std::min_element(board->world_ranks().begin(), board->world_ranks().end());
  check_mpi(MPI_Allgather(&machine, 1, MPI_INT, facts.machine_of_rank.data(), 1, MPI_INT, MPI_COMM_WORLD),
            "MPI_Allgather");
  axis_names->reserve(kMaxBoardAxes);  // the watch reads it while axes are added
  using Name = std::array<char, MPI_MAX_PROCESSOR_NAME + 1>;
  Name own{};
  host.copy(own.data(), own.size() - 1);
  std::vector<Name> names(size);
  check_mpi(
      MPI_Allgather(own.data(), sizeof(Name), MPI_BYTE, names.data(), sizeof(Name), MPI_BYTE, MPI_COMM_WORLD),
      "MPI_Allgather");
  for (const Name& name : names) facts.hosts.emplace_back(name.data());
  watch = std::make_unique<JobWatch>(std::move(facts), desk, board.get());
}

void MpiSession::State::open_device(const SessionOptions& options) {
  DevicePlacement placement{.host = host, .local_rank = local_rank, .may_share = options.share_devices};
  placement.visible_of_rank.resize(local_size);
  const uint64_t visible = std::hash<std::string>{}(options.visible_devices);
  check_mpi(
      MPI_Allgather(&visible, 1, MPI_UINT64_T, placement.visible_of_rank.data(), 1, MPI_UINT64_T, local),
      "MPI_Allgather");
  device = use_cuda_device(std::move(placement));
  if (size > 1) nccl = std::make_shared<NcclJob>(NcclLibrary::open(options.nccl_library), device);
}

MpiGroup MpiSession::State::make_group(const std::string& axis, MPI_Comm comm,
                                       const std::vector<int>& world_ranks) {
  MpiGroup group;
  group.axis = axis;
  group.collective_handle = MPI_Comm_c2f(duplicate(comm));
  group.message_handle = MPI_Comm_c2f(duplicate(comm));
  group.world_ranks = world_ranks;
  group.rank =
      static_cast<int>(std::find(world_ranks.begin(), world_ranks.end(), rank) - world_ranks.begin());
  group.axis_idx = static_cast<int>(axis_names->size());
  group.axis_names = axis_names;
  group.board = board.get();
  group.timeout_s = timeout_s;
  ATHANOR_CHECK(axis_names->size() < kMaxBoardAxes, "more than {} communicators in one session",
                kMaxBoardAxes);
  axis_names->push_back(axis);
  board->join(group.axis_idx, world_ranks);
  return group;
}

std::unique_ptr<Communicator> MpiSession::State::make_communicator(const std::string& axis, MPI_Comm comm,
                                                                   const std::vector<int>& world_ranks) {
  if (nccl) return make_two_sided(axis, comm, world_ranks);
  return std::make_unique<MpiCommunicator>(make_group(axis, comm, world_ranks));
}

// Device calls are numbered apart from host calls, so they have an entry of their own on the board.
std::unique_ptr<Communicator> MpiSession::State::make_two_sided(const std::string& axis, MPI_Comm comm,
                                                                const std::vector<int>& world_ranks) {
  auto host_side = std::make_unique<MpiCommunicator>(make_group(axis, comm, world_ranks));
  MpiGroup setup = make_group(axis + " (device)", comm, world_ranks);
  const DeviceGroup device_group{axis,        world_ranks,    setup.rank, setup.axis_idx, setup.axis_names,
                                 setup.board, setup.timeout_s};
  setup.board = nullptr;  // the watchdog uses it too, which is no news of what the rank is doing
  auto make_device_side = [job = nccl, device_group, setup] {
    return std::make_unique<NcclCommunicator>(job, device_group, std::make_unique<MpiCommunicator>(setup));
  };
  return std::make_unique<DeviceCommunicator>(std::move(host_side), make_device_side, nccl);
}

int MpiSession::rank() const {
  return state_->rank;
}
int MpiSession::size() const {
  return state_->size;
}
int MpiSession::local_rank() const {
  return state_->local_rank;
}
int MpiSession::local_size() const {
  return state_->local_size;
}
const std::string& MpiSession::host() const {
  return state_->host;
}
c10::Device MpiSession::device() const {
  return state_->device;
}
void MpiSession::set_timeout(double timeout_s) {
  state_->timeout_s = timeout_s;
}
Communicator& MpiSession::world() {
  return *state_->world;
}

std::unique_ptr<Communicator> MpiSession::split(const std::string& axis,
                                                const std::vector<int>& world_ranks) {
  const auto own = std::find(world_ranks.begin(), world_ranks.end(), state_->rank);
  ATHANOR_CHECK(own != world_ranks.end(), "axis {}: world rank {} is not in its own group", axis,
                state_->rank);
  world().barrier();  // MPI_Comm_split has no deadline of its own; the ranks meet here first
  const int colour = *std::min_element(world_ranks.begin(), world_ranks.end());
  MPI_Comm comm = MPI_COMM_NULL;
  check_mpi(MPI_Comm_split(MPI_COMM_WORLD, colour, static_cast<int>(own - world_ranks.begin()), &comm),
            "MPI_Comm_split");
  int size = 0;
  check_mpi(MPI_Comm_size(comm, &size), "MPI_Comm_size");
  if (size != static_cast<int>(world_ranks.size()))
    throw core::CommError(
        "axis {}: world rank {} expects a group of {} ranks, {} joined: the ranks disagree about the "
        "layout",
        axis, state_->rank, world_ranks.size(), size);
  auto communicator = state_->make_communicator(axis, comm, world_ranks);
  check_mpi(MPI_Comm_free(&comm), "MPI_Comm_free");
  if (size == 1) return std::make_unique<SelfCommunicator>(axis);
  if (state_->nccl) static_cast<DeviceCommunicator&>(*communicator).open();
  return communicator;
}

Progress& MpiSession::progress() {
  return state_->progress;
}
void MpiSession::set_flight_directory(const std::string& directory) {
  state_->watch->set_flight_directory(directory);
}

void MpiSession::finish() {
  if (state_->finished) return;
  state_->progress.enter(Phase::kEnding);
  if (state_->nccl) state_->nccl->drain(state_->timeout_s);
  state_->board->own().state = RankState::kFinished;
  world().barrier();
  if (state_->nccl) state_->nccl->close();
  state_->finished = true;
  state_->watch.reset();
  check_mpi(MPI_Win_free(&state_->board_window), "MPI_Win_free");
  check_mpi(MPI_Finalize(), "MPI_Finalize");
}

void MpiSession::fail(const core::Error& error) {
  state_->watch->fail(error);
}

void MpiSession::abort(int exit_code) {
  state_->board->own().state = RankState::kFailed;
  core::log::flush();
  if (state_->nccl) state_->nccl->abort();
  MPI_Abort(MPI_COMM_WORLD, exit_code);
  std::_Exit(exit_code);
}

}  // namespace athanor::parallel
