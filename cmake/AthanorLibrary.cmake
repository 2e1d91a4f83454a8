# athanor_library(FOLDER [TORCH] SOURCES a.cpp ... [LINK target ...]): the library of one folder, athanor::FOLDER.
# TORCH adds LibTorch and the lean precompiled header; without it, one of the standard library alone.
function(athanor_library folder)
  cmake_parse_arguments(ARG "TORCH" "" "SOURCES;LINK" ${ARGN})
  add_library(athanor_${folder} STATIC ${ARG_SOURCES})
  add_library(athanor::${folder} ALIAS athanor_${folder})
  target_link_libraries(athanor_${folder} PUBLIC athanor_flags ${ARG_LINK})
  if(ARG_TORCH)
    athanor_use_torch(athanor_${folder})
  else()
    athanor_precompiled(athanor_std_pch std_pch.h)
    target_precompile_headers(athanor_${folder} REUSE_FROM athanor_std_pch)
  endif()
endfunction()

# athanor_precompiled(NAME HEADER [LINK ...] [OPTIONS ...]): a precompiled header, built once and reused by every target
# that is compiled alike. Code compiles without it too.
function(athanor_precompiled name header)
  cmake_parse_arguments(ARG "" "" "LINK;OPTIONS" ${ARGN})
  if(NOT TARGET ${name})
    file(WRITE ${PROJECT_BINARY_DIR}/pch/${name}.cpp "// carries the precompiled header\n")
    add_library(${name} OBJECT ${PROJECT_BINARY_DIR}/pch/${name}.cpp)
    target_link_libraries(${name} PUBLIC athanor_flags fmt::fmt ${ARG_LINK})
    target_compile_options(${name} PRIVATE ${ARG_OPTIONS})
    target_precompile_headers(${name} PRIVATE ${PROJECT_SOURCE_DIR}/cmake/${header})
  endif()
endfunction()

# Programs are compiled as the libraries (and so the precompiled headers) are: not -fPIE.
function(athanor_compile_like_library target)
  set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
  target_compile_options(${target} PRIVATE -fPIC)
endfunction()

# athanor_use_torch(TARGET [PRECOMPILED]): LibTorch, and the lean precompiled header unless another one is named.
function(athanor_use_torch target)
  get_target_property(type ${target} TYPE)
  if(type STREQUAL "EXECUTABLE")
    athanor_compile_like_library(${target})
  endif()
  target_link_libraries(${target} PUBLIC athanor_torch fmt::fmt)
  set(precompiled athanor_pch)
  if(ARGC GREATER 1)
    set(precompiled ${ARGV1})
  else()
    athanor_precompiled(athanor_pch pch.h LINK athanor_torch)
  endif()
  target_precompile_headers(${target} REUSE_FROM ${precompiled})
endfunction()

# athanor_compiles_alone(SOURCE ...): files that take seconds by themselves, and beside others would make those slow to
# change; or that a test replaces, which works with one object per file only.
function(athanor_compiles_alone)
  set_source_files_properties(${ARGN} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
endfunction()

# athanor_sees_whole_aten(SOURCE ...): files that need what cmake/lean_torch leaves out.
function(athanor_sees_whole_aten)
  set_source_files_properties(${ARGN} PROPERTIES COMPILE_DEFINITIONS ATHANOR_WHOLE_ATEN SKIP_PRECOMPILE_HEADERS ON)
endfunction()
