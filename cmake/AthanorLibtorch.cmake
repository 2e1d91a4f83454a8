# LibTorch as imported targets of our own: find_package(Torch) of the CUDA wheel wants a CUDA toolkit even for a
# CPU build. Its include directory comes last (-idirafter), so that the system's fmt and gtest win.
set(ATHANOR_TORCH_DIR "$ENV{ATHANOR_TORCH_DIR}" CACHE PATH "LibTorch: a directory holding include/ and lib/")
if(NOT ATHANOR_TORCH_DIR)
  foreach(prefix ${CMAKE_PREFIX_PATH})
    if(EXISTS ${prefix}/lib/libtorch_cpu.so)
      set(ATHANOR_TORCH_DIR ${prefix})
    endif()
  endforeach()
endif()
if(NOT ATHANOR_TORCH_DIR)
  if(DEFINED ENV{ATHANOR_CACHE_DIR})
    set(_cache $ENV{ATHANOR_CACHE_DIR})
  else()
    set(_cache $ENV{HOME}/.cache/athanor)
  endif()
  set(ATHANOR_TORCH_DIR ${_cache}/torch-2.11.0/torch)
endif()
if(NOT EXISTS ${ATHANOR_TORCH_DIR}/lib/libtorch_cpu.so)
  message(FATAL_ERROR "no LibTorch in ${ATHANOR_TORCH_DIR}: run scripts/setup.sh, or pass -DATHANOR_TORCH_DIR=DIR")
endif()
message(STATUS "LibTorch: ${ATHANOR_TORCH_DIR}")

foreach(name torch_cpu c10)
  add_library(athanor_import_${name} SHARED IMPORTED GLOBAL)
  set_target_properties(athanor_import_${name} PROPERTIES
    IMPORTED_LOCATION ${ATHANOR_TORCH_DIR}/lib/lib${name}.so
    IMPORTED_NO_SONAME OFF)
endforeach()

add_library(athanor_torch INTERFACE)
target_link_libraries(athanor_torch INTERFACE athanor_import_torch_cpu athanor_import_c10)
target_compile_options(athanor_torch INTERFACE
  "SHELL:-idirafter ${PROJECT_SOURCE_DIR}/cmake/lean_torch"
  "SHELL:-idirafter ${ATHANOR_TORCH_DIR}/include"
  "SHELL:-idirafter ${ATHANOR_TORCH_DIR}/include/torch/csrc/api/include"
  -Wno-unused-parameter)
# ATen/ATen.h, torch/torch.h and the like become compile errors: only per-operator headers pass.
target_compile_definitions(athanor_torch INTERFACE AT_PER_OPERATOR_HEADERS TORCH_ASSERT_ONLY_METHOD_OPERATORS)
# The wheel's CUDA runtime and profiler libraries lie beside it (nvidia/cu13/lib); libtorch_cpu names them but a CPU
# run needs nothing from them.
get_filename_component(_site ${ATHANOR_TORCH_DIR} DIRECTORY)
target_link_options(athanor_torch INTERFACE
  -Wl,--allow-shlib-undefined
  -Wl,-rpath,${ATHANOR_TORCH_DIR}/lib -Wl,-rpath-link,${ATHANOR_TORCH_DIR}/lib
  -Wl,-rpath,${_site}/nvidia/cu13/lib -Wl,-rpath-link,${_site}/nvidia/cu13/lib
  -Wl,-rpath,${_site}/nvidia/nccl/lib)  # where the wheel of NCCL lies, for dlopen
