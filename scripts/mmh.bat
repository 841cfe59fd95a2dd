@echo off
rem mmh from this clone, set up on first use: a menu, or what mmh does with the same arguments, exit code included.
rem
rem     scripts\mmh.bat
rem     scripts\mmh.bat compress model.safetensors
rem
rem It needs Rust and Python 3.11 or newer, and installs into the clone alone (.venv, target).
setlocal
set "MMH_EXE=%~dp0..\.venv\Scripts\mmh.exe"
if exist "%MMH_EXE%" goto ready

rem To standard error, since standard output may be what a command is to write.
echo First use: mmh is being built and set up in the clone's .venv. 1>&2
echo That takes a few minutes, once. Nothing is installed outside of the clone. 1>&2
powershell -NoProfile -ExecutionPolicy Bypass -File "%~dp0setup.ps1" build 1>&2
if errorlevel 1 goto failed
if not exist "%MMH_EXE%" goto failed
echo Ready. 1>&2

:ready
if "%~1"=="" goto menu
"%MMH_EXE%" %*
exit /b %ERRORLEVEL%

:menu
"%MMH_EXE%" menu
exit /b %ERRORLEVEL%

:failed
echo mmh: could not be set up (the reason is above; the same command tries again) 1>&2
exit /b 4
