# For scripts that call mpirun (source it): its options changed with Open MPI 5.
is_open_mpi_5() { [[ $(mpirun --version) == *"(Open MPI) "[5-9].* ]]; }
