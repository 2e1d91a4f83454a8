# Compiler, linker and cache settings shared by every target of our own.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin)
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/lib)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()
# Asserts of our own are ordinary code; -O2 builds faster than -O3 and the hot loops are hand-vectorised.
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG")

# Every preset but `debug` compiles several files of a target at once (CMAKE_UNITY_BUILD), which nearly halves the build; `debug`
# compiles each by itself, so that a missing #include shows.
set(CMAKE_UNITY_BUILD_BATCH_SIZE 5)
if(CMAKE_UNITY_BUILD)
  add_compile_options(-Wno-subobject-linkage)  # every file looks like a header then
endif()

find_program(ATHANOR_CCACHE ccache)
if(ATHANOR_CCACHE)
  # The sloppiness settings let a cached object be reused beside a precompiled header.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env
      CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
      CCACHE_BASEDIR=${PROJECT_SOURCE_DIR} CCACHE_NOHASHDIR=1 ${ATHANOR_CCACHE})
endif()
find_program(ATHANOR_MOLD mold)
if(ATHANOR_MOLD AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_GREATER_EQUAL 12.1)
  add_link_options(-fuse-ld=mold)
endif()

set(ATHANOR_SANITIZE "" CACHE STRING "sanitizers for the whole build, as for -fsanitize=")
if(ATHANOR_SANITIZE)
  set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O1 -g1 -DNDEBUG")  # more makes building several times slower
  add_compile_options(-fsanitize=${ATHANOR_SANITIZE} -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${ATHANOR_SANITIZE})
endif()

add_library(athanor_flags INTERFACE)
target_include_directories(athanor_flags INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_options(athanor_flags INTERFACE
  -Wall -Wextra -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Werror
  -Wno-missing-field-initializers  # designated initialisers leave the rest at its declared default
  -ffp-contract=off)  # a*b+c is fused only where the code says fma: the same bits from every compiler
