# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_msctl_global_optspecs
    string join \n e/env= n/namespace= context= kubeconfig= C/directory= o/output= color= v/verbose q/quiet y/yes= no-input h/help V/version
end

function __fish_msctl_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_msctl_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_msctl_using_subcommand
    set -l cmd (__fish_msctl_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c msctl -n "__fish_msctl_needs_command" -s e -l env -d 'Environment of msctl.yaml, of the user config, or a kubeconfig context' -r
complete -c msctl -n "__fish_msctl_needs_command" -s n -l namespace -d 'Kubernetes namespace' -r
complete -c msctl -n "__fish_msctl_needs_command" -l context -d 'Kubeconfig context' -r
complete -c msctl -n "__fish_msctl_needs_command" -l kubeconfig -d 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config' -r
complete -c msctl -n "__fish_msctl_needs_command" -s C -l directory -d 'Work as if started in this folder' -r -F
complete -c msctl -n "__fish_msctl_needs_command" -s o -l output -d 'Format of the answer' -r -f -a "text\t''
json\t''
ndjson\t''"
complete -c msctl -n "__fish_msctl_needs_command" -l color -d 'When to use colours' -r -f -a "auto\t''
always\t''
never\t''"
complete -c msctl -n "__fish_msctl_needs_command" -s y -l yes -d 'Agree to every question; `--yes=ENV` also to a protected environment' -r
complete -c msctl -n "__fish_msctl_needs_command" -s v -l verbose -d 'Say more; twice and thrice for more still'
complete -c msctl -n "__fish_msctl_needs_command" -s q -l quiet -d 'Say nothing but the answer and errors'
complete -c msctl -n "__fish_msctl_needs_command" -l no-input -d 'Never prompt: fail and name the flag that answers'
complete -c msctl -n "__fish_msctl_needs_command" -s h -l help -d 'Print help'
complete -c msctl -n "__fish_msctl_needs_command" -s V -l version -d 'Print version'
complete -c msctl -n "__fish_msctl_needs_command" -f -a "new" -d 'Create a service from a template'
complete -c msctl -n "__fish_msctl_needs_command" -f -a "template" -d 'Look at the templates a service can be created from'
complete -c msctl -n "__fish_msctl_needs_command" -f -a "build" -d 'Build the service\'s image, and push it'
complete -c msctl -n "__fish_msctl_needs_command" -f -a "deploy" -d 'Ship the service: build what changed, apply, roll out, wait'
complete -c msctl -n "__fish_msctl_needs_command" -f -a "diff" -d 'Show what a deploy would change; exit 1 when there are differences'
complete -c msctl -n "__fish_msctl_needs_command" -f -a "rollout" -d 'Steer and follow a rollout'
complete -c msctl -n "__fish_msctl_needs_command" -f -a "status" -d 'Show how the service is'
complete -c msctl -n "__fish_msctl_needs_command" -f -a "logs" -d 'Print the pods\' logs'
complete -c msctl -n "__fish_msctl_needs_command" -f -a "scale" -d 'Set the number of replicas until the next deploy'
complete -c msctl -n "__fish_msctl_needs_command" -f -a "migrate" -d 'Migrate the service\'s database beside a deploy'
complete -c msctl -n "__fish_msctl_needs_command" -f -a "delete" -d 'Remove the service and everything msctl made for it'
complete -c msctl -n "__fish_msctl_needs_command" -f -a "local" -d 'The local platform: processes behind a weighted proxy'
complete -c msctl -n "__fish_msctl_needs_command" -f -a "adopt" -d 'Take an existing Deployment over as the live version, with no restart'
complete -c msctl -n "__fish_msctl_needs_command" -f -a "demo" -d 'A guided tour: create, run, canary, and a bad release refused'
complete -c msctl -n "__fish_msctl_needs_command" -f -a "doctor" -d 'Check what msctl needs on this machine'
complete -c msctl -n "__fish_msctl_needs_command" -f -a "config" -d 'Look at the configuration'
complete -c msctl -n "__fish_msctl_needs_command" -f -a "completions" -d 'Print the completion script of a shell'
complete -c msctl -n "__fish_msctl_needs_command" -f -a "man" -d 'Write the man pages into a folder'
complete -c msctl -n "__fish_msctl_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c msctl -n "__fish_msctl_using_subcommand new" -s e -l env -d 'Environment of msctl.yaml, of the user config, or a kubeconfig context' -r
complete -c msctl -n "__fish_msctl_using_subcommand new" -s n -l namespace -d 'Kubernetes namespace' -r
complete -c msctl -n "__fish_msctl_using_subcommand new" -l context -d 'Kubeconfig context' -r
complete -c msctl -n "__fish_msctl_using_subcommand new" -l kubeconfig -d 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config' -r
complete -c msctl -n "__fish_msctl_using_subcommand new" -s C -l directory -d 'Work as if started in this folder' -r -F
complete -c msctl -n "__fish_msctl_using_subcommand new" -s o -l output -d 'Format of the answer' -r -f -a "text\t''
json\t''
ndjson\t''"
complete -c msctl -n "__fish_msctl_using_subcommand new" -l color -d 'When to use colours' -r -f -a "auto\t''
always\t''
never\t''"
complete -c msctl -n "__fish_msctl_using_subcommand new" -s y -l yes -d 'Agree to every question; `--yes=ENV` also to a protected environment' -r
complete -c msctl -n "__fish_msctl_using_subcommand new" -s t -l template -d 'Embedded template, folder, or git-url[//subfolder][@ref]' -r
complete -c msctl -n "__fish_msctl_using_subcommand new" -l set -d 'Answer a question of the template (may repeat)' -r
complete -c msctl -n "__fish_msctl_using_subcommand new" -l answers -d 'YAML file of answers' -r -F
complete -c msctl -n "__fish_msctl_using_subcommand new" -l into -d 'Folder to create the service\'s folder in' -r -F
complete -c msctl -n "__fish_msctl_using_subcommand new" -s v -l verbose -d 'Say more; twice and thrice for more still'
complete -c msctl -n "__fish_msctl_using_subcommand new" -s q -l quiet -d 'Say nothing but the answer and errors'
complete -c msctl -n "__fish_msctl_using_subcommand new" -l no-input -d 'Never prompt: fail and name the flag that answers'
complete -c msctl -n "__fish_msctl_using_subcommand new" -l defaults -d 'Take the default of everything not answered'
complete -c msctl -n "__fish_msctl_using_subcommand new" -l dry-run -d 'Show what would be written, write nothing'
complete -c msctl -n "__fish_msctl_using_subcommand new" -l no-git -d 'Do not make a git repository'
complete -c msctl -n "__fish_msctl_using_subcommand new" -s h -l help -d 'Print help'
complete -c msctl -n "__fish_msctl_using_subcommand template; and not __fish_seen_subcommand_from list show lint schema help" -s e -l env -d 'Environment of msctl.yaml, of the user config, or a kubeconfig context' -r
complete -c msctl -n "__fish_msctl_using_subcommand template; and not __fish_seen_subcommand_from list show lint schema help" -s n -l namespace -d 'Kubernetes namespace' -r
complete -c msctl -n "__fish_msctl_using_subcommand template; and not __fish_seen_subcommand_from list show lint schema help" -l context -d 'Kubeconfig context' -r
complete -c msctl -n "__fish_msctl_using_subcommand template; and not __fish_seen_subcommand_from list show lint schema help" -l kubeconfig -d 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config' -r
complete -c msctl -n "__fish_msctl_using_subcommand template; and not __fish_seen_subcommand_from list show lint schema help" -s C -l directory -d 'Work as if started in this folder' -r -F
complete -c msctl -n "__fish_msctl_using_subcommand template; and not __fish_seen_subcommand_from list show lint schema help" -s o -l output -d 'Format of the answer' -r -f -a "text\t''
json\t''
ndjson\t''"
complete -c msctl -n "__fish_msctl_using_subcommand template; and not __fish_seen_subcommand_from list show lint schema help" -l color -d 'When to use colours' -r -f -a "auto\t''
always\t''
never\t''"
complete -c msctl -n "__fish_msctl_using_subcommand template; and not __fish_seen_subcommand_from list show lint schema help" -s y -l yes -d 'Agree to every question; `--yes=ENV` also to a protected environment' -r
complete -c msctl -n "__fish_msctl_using_subcommand template; and not __fish_seen_subcommand_from list show lint schema help" -s v -l verbose -d 'Say more; twice and thrice for more still'
complete -c msctl -n "__fish_msctl_using_subcommand template; and not __fish_seen_subcommand_from list show lint schema help" -s q -l quiet -d 'Say nothing but the answer and errors'
complete -c msctl -n "__fish_msctl_using_subcommand template; and not __fish_seen_subcommand_from list show lint schema help" -l no-input -d 'Never prompt: fail and name the flag that answers'
complete -c msctl -n "__fish_msctl_using_subcommand template; and not __fish_seen_subcommand_from list show lint schema help" -s h -l help -d 'Print help'
complete -c msctl -n "__fish_msctl_using_subcommand template; and not __fish_seen_subcommand_from list show lint schema help" -f -a "list" -d 'List the embedded templates'
complete -c msctl -n "__fish_msctl_using_subcommand template; and not __fish_seen_subcommand_from list show lint schema help" -f -a "show" -d 'Show a template\'s questions and files'
complete -c msctl -n "__fish_msctl_using_subcommand template; and not __fish_seen_subcommand_from list show lint schema help" -f -a "lint" -d 'Check a template for mistakes'
complete -c msctl -n "__fish_msctl_using_subcommand template; and not __fish_seen_subcommand_from list show lint schema help" -f -a "schema" -d 'Print the JSON Schema of template.yaml'
complete -c msctl -n "__fish_msctl_using_subcommand template; and not __fish_seen_subcommand_from list show lint schema help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c msctl -n "__fish_msctl_using_subcommand template; and __fish_seen_subcommand_from list" -s e -l env -d 'Environment of msctl.yaml, of the user config, or a kubeconfig context' -r
complete -c msctl -n "__fish_msctl_using_subcommand template; and __fish_seen_subcommand_from list" -s n -l namespace -d 'Kubernetes namespace' -r
complete -c msctl -n "__fish_msctl_using_subcommand template; and __fish_seen_subcommand_from list" -l context -d 'Kubeconfig context' -r
complete -c msctl -n "__fish_msctl_using_subcommand template; and __fish_seen_subcommand_from list" -l kubeconfig -d 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config' -r
complete -c msctl -n "__fish_msctl_using_subcommand template; and __fish_seen_subcommand_from list" -s C -l directory -d 'Work as if started in this folder' -r -F
complete -c msctl -n "__fish_msctl_using_subcommand template; and __fish_seen_subcommand_from list" -s o -l output -d 'Format of the answer' -r -f -a "text\t''
json\t''
ndjson\t''"
complete -c msctl -n "__fish_msctl_using_subcommand template; and __fish_seen_subcommand_from list" -l color -d 'When to use colours' -r -f -a "auto\t''
always\t''
never\t''"
complete -c msctl -n "__fish_msctl_using_subcommand template; and __fish_seen_subcommand_from list" -s y -l yes -d 'Agree to every question; `--yes=ENV` also to a protected environment' -r
complete -c msctl -n "__fish_msctl_using_subcommand template; and __fish_seen_subcommand_from list" -s v -l verbose -d 'Say more; twice and thrice for more still'
complete -c msctl -n "__fish_msctl_using_subcommand template; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Say nothing but the answer and errors'
complete -c msctl -n "__fish_msctl_using_subcommand template; and __fish_seen_subcommand_from list" -l no-input -d 'Never prompt: fail and name the flag that answers'
complete -c msctl -n "__fish_msctl_using_subcommand template; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c msctl -n "__fish_msctl_using_subcommand template; and __fish_seen_subcommand_from show" -s e -l env -d 'Environment of msctl.yaml, of the user config, or a kubeconfig context' -r
complete -c msctl -n "__fish_msctl_using_subcommand template; and __fish_seen_subcommand_from show" -s n -l namespace -d 'Kubernetes namespace' -r
complete -c msctl -n "__fish_msctl_using_subcommand template; and __fish_seen_subcommand_from show" -l context -d 'Kubeconfig context' -r
complete -c msctl -n "__fish_msctl_using_subcommand template; and __fish_seen_subcommand_from show" -l kubeconfig -d 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config' -r
complete -c msctl -n "__fish_msctl_using_subcommand template; and __fish_seen_subcommand_from show" -s C -l directory -d 'Work as if started in this folder' -r -F
complete -c msctl -n "__fish_msctl_using_subcommand template; and __fish_seen_subcommand_from show" -s o -l output -d 'Format of the answer' -r -f -a "text\t''
json\t''
ndjson\t''"
complete -c msctl -n "__fish_msctl_using_subcommand template; and __fish_seen_subcommand_from show" -l color -d 'When to use colours' -r -f -a "auto\t''
always\t''
never\t''"
complete -c msctl -n "__fish_msctl_using_subcommand template; and __fish_seen_subcommand_from show" -s y -l yes -d 'Agree to every question; `--yes=ENV` also to a protected environment' -r
complete -c msctl -n "__fish_msctl_using_subcommand template; and __fish_seen_subcommand_from show" -s v -l verbose -d 'Say more; twice and thrice for more still'
complete -c msctl -n "__fish_msctl_using_subcommand template; and __fish_seen_subcommand_from show" -s q -l quiet -d 'Say nothing but the answer and errors'
complete -c msctl -n "__fish_msctl_using_subcommand template; and __fish_seen_subcommand_from show" -l no-input -d 'Never prompt: fail and name the flag that answers'
complete -c msctl -n "__fish_msctl_using_subcommand template; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help'
complete -c msctl -n "__fish_msctl_using_subcommand template; and __fish_seen_subcommand_from lint" -s e -l env -d 'Environment of msctl.yaml, of the user config, or a kubeconfig context' -r
complete -c msctl -n "__fish_msctl_using_subcommand template; and __fish_seen_subcommand_from lint" -s n -l namespace -d 'Kubernetes namespace' -r
complete -c msctl -n "__fish_msctl_using_subcommand template; and __fish_seen_subcommand_from lint" -l context -d 'Kubeconfig context' -r
complete -c msctl -n "__fish_msctl_using_subcommand template; and __fish_seen_subcommand_from lint" -l kubeconfig -d 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config' -r
complete -c msctl -n "__fish_msctl_using_subcommand template; and __fish_seen_subcommand_from lint" -s C -l directory -d 'Work as if started in this folder' -r -F
complete -c msctl -n "__fish_msctl_using_subcommand template; and __fish_seen_subcommand_from lint" -s o -l output -d 'Format of the answer' -r -f -a "text\t''
json\t''
ndjson\t''"
complete -c msctl -n "__fish_msctl_using_subcommand template; and __fish_seen_subcommand_from lint" -l color -d 'When to use colours' -r -f -a "auto\t''
always\t''
never\t''"
complete -c msctl -n "__fish_msctl_using_subcommand template; and __fish_seen_subcommand_from lint" -s y -l yes -d 'Agree to every question; `--yes=ENV` also to a protected environment' -r
complete -c msctl -n "__fish_msctl_using_subcommand template; and __fish_seen_subcommand_from lint" -s v -l verbose -d 'Say more; twice and thrice for more still'
complete -c msctl -n "__fish_msctl_using_subcommand template; and __fish_seen_subcommand_from lint" -s q -l quiet -d 'Say nothing but the answer and errors'
complete -c msctl -n "__fish_msctl_using_subcommand template; and __fish_seen_subcommand_from lint" -l no-input -d 'Never prompt: fail and name the flag that answers'
complete -c msctl -n "__fish_msctl_using_subcommand template; and __fish_seen_subcommand_from lint" -s h -l help -d 'Print help'
complete -c msctl -n "__fish_msctl_using_subcommand template; and __fish_seen_subcommand_from schema" -s e -l env -d 'Environment of msctl.yaml, of the user config, or a kubeconfig context' -r
complete -c msctl -n "__fish_msctl_using_subcommand template; and __fish_seen_subcommand_from schema" -s n -l namespace -d 'Kubernetes namespace' -r
complete -c msctl -n "__fish_msctl_using_subcommand template; and __fish_seen_subcommand_from schema" -l context -d 'Kubeconfig context' -r
complete -c msctl -n "__fish_msctl_using_subcommand template; and __fish_seen_subcommand_from schema" -l kubeconfig -d 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config' -r
complete -c msctl -n "__fish_msctl_using_subcommand template; and __fish_seen_subcommand_from schema" -s C -l directory -d 'Work as if started in this folder' -r -F
complete -c msctl -n "__fish_msctl_using_subcommand template; and __fish_seen_subcommand_from schema" -s o -l output -d 'Format of the answer' -r -f -a "text\t''
json\t''
ndjson\t''"
complete -c msctl -n "__fish_msctl_using_subcommand template; and __fish_seen_subcommand_from schema" -l color -d 'When to use colours' -r -f -a "auto\t''
always\t''
never\t''"
complete -c msctl -n "__fish_msctl_using_subcommand template; and __fish_seen_subcommand_from schema" -s y -l yes -d 'Agree to every question; `--yes=ENV` also to a protected environment' -r
complete -c msctl -n "__fish_msctl_using_subcommand template; and __fish_seen_subcommand_from schema" -s v -l verbose -d 'Say more; twice and thrice for more still'
complete -c msctl -n "__fish_msctl_using_subcommand template; and __fish_seen_subcommand_from schema" -s q -l quiet -d 'Say nothing but the answer and errors'
complete -c msctl -n "__fish_msctl_using_subcommand template; and __fish_seen_subcommand_from schema" -l no-input -d 'Never prompt: fail and name the flag that answers'
complete -c msctl -n "__fish_msctl_using_subcommand template; and __fish_seen_subcommand_from schema" -s h -l help -d 'Print help'
complete -c msctl -n "__fish_msctl_using_subcommand template; and __fish_seen_subcommand_from help" -f -a "list" -d 'List the embedded templates'
complete -c msctl -n "__fish_msctl_using_subcommand template; and __fish_seen_subcommand_from help" -f -a "show" -d 'Show a template\'s questions and files'
complete -c msctl -n "__fish_msctl_using_subcommand template; and __fish_seen_subcommand_from help" -f -a "lint" -d 'Check a template for mistakes'
complete -c msctl -n "__fish_msctl_using_subcommand template; and __fish_seen_subcommand_from help" -f -a "schema" -d 'Print the JSON Schema of template.yaml'
complete -c msctl -n "__fish_msctl_using_subcommand template; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c msctl -n "__fish_msctl_using_subcommand build" -s e -l env -d 'Environment of msctl.yaml, of the user config, or a kubeconfig context' -r
complete -c msctl -n "__fish_msctl_using_subcommand build" -s n -l namespace -d 'Kubernetes namespace' -r
complete -c msctl -n "__fish_msctl_using_subcommand build" -l context -d 'Kubeconfig context' -r
complete -c msctl -n "__fish_msctl_using_subcommand build" -l kubeconfig -d 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config' -r
complete -c msctl -n "__fish_msctl_using_subcommand build" -s C -l directory -d 'Work as if started in this folder' -r -F
complete -c msctl -n "__fish_msctl_using_subcommand build" -s o -l output -d 'Format of the answer' -r -f -a "text\t''
json\t''
ndjson\t''"
complete -c msctl -n "__fish_msctl_using_subcommand build" -l color -d 'When to use colours' -r -f -a "auto\t''
always\t''
never\t''"
complete -c msctl -n "__fish_msctl_using_subcommand build" -s y -l yes -d 'Agree to every question; `--yes=ENV` also to a protected environment' -r
complete -c msctl -n "__fish_msctl_using_subcommand build" -l tag -d 'Tag in place of the one computed from git (may repeat)' -r
complete -c msctl -n "__fish_msctl_using_subcommand build" -l platform -d 'Platform such as linux/arm64' -r
complete -c msctl -n "__fish_msctl_using_subcommand build" -l build-arg -d 'Build argument (may repeat)' -r
complete -c msctl -n "__fish_msctl_using_subcommand build" -l cache-from -d 'Images to take cached layers from' -r
complete -c msctl -n "__fish_msctl_using_subcommand build" -l target -d 'Stage of the Dockerfile to build' -r
complete -c msctl -n "__fish_msctl_using_subcommand build" -l secret -d 'For RUN --mount=type=secret: id=NAME,src=FILE or id=NAME,env=VARIABLE (may repeat)' -r
complete -c msctl -n "__fish_msctl_using_subcommand build" -s v -l verbose -d 'Say more; twice and thrice for more still'
complete -c msctl -n "__fish_msctl_using_subcommand build" -s q -l quiet -d 'Say nothing but the answer and errors'
complete -c msctl -n "__fish_msctl_using_subcommand build" -l no-input -d 'Never prompt: fail and name the flag that answers'
complete -c msctl -n "__fish_msctl_using_subcommand build" -l push -d 'Push the image and verify its digest at the registry'
complete -c msctl -n "__fish_msctl_using_subcommand build" -l pin -d 'First write the digests that the base images have now into the Dockerfile'
complete -c msctl -n "__fish_msctl_using_subcommand build" -l no-cache -d 'Build every step anew'
complete -c msctl -n "__fish_msctl_using_subcommand build" -s h -l help -d 'Print help'
complete -c msctl -n "__fish_msctl_using_subcommand deploy" -s e -l env -d 'Environment of msctl.yaml, of the user config, or a kubeconfig context' -r
complete -c msctl -n "__fish_msctl_using_subcommand deploy" -s n -l namespace -d 'Kubernetes namespace' -r
complete -c msctl -n "__fish_msctl_using_subcommand deploy" -l context -d 'Kubeconfig context' -r
complete -c msctl -n "__fish_msctl_using_subcommand deploy" -l kubeconfig -d 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config' -r
complete -c msctl -n "__fish_msctl_using_subcommand deploy" -s C -l directory -d 'Work as if started in this folder' -r -F
complete -c msctl -n "__fish_msctl_using_subcommand deploy" -s o -l output -d 'Format of the answer' -r -f -a "text\t''
json\t''
ndjson\t''"
complete -c msctl -n "__fish_msctl_using_subcommand deploy" -l color -d 'When to use colours' -r -f -a "auto\t''
always\t''
never\t''"
complete -c msctl -n "__fish_msctl_using_subcommand deploy" -s y -l yes -d 'Agree to every question; `--yes=ENV` also to a protected environment' -r
complete -c msctl -n "__fish_msctl_using_subcommand deploy" -l image -d 'Deploy this image in place of building one' -r
complete -c msctl -n "__fish_msctl_using_subcommand deploy" -l steps -d 'Canary weights in percent, such as 10,25,50' -r
complete -c msctl -n "__fish_msctl_using_subcommand deploy" -l pause -d 'Pause after every weight below 100, such as 2m' -r
complete -c msctl -n "__fish_msctl_using_subcommand deploy" -l until -d 'Return at healthy (default), paused, available, step=N or weight=N' -r
complete -c msctl -n "__fish_msctl_using_subcommand deploy" -l timeout -d 'Give up after this long, such as 10m' -r
complete -c msctl -n "__fish_msctl_using_subcommand deploy" -l rollback-timeout -d 'How long a rollback may take' -r
complete -c msctl -n "__fish_msctl_using_subcommand deploy" -l lock-wait -d 'Wait this long for another deploy to finish' -r
complete -c msctl -n "__fish_msctl_using_subcommand deploy" -l envs -d 'Deploy to these environments in place of one; with --train together' -r
complete -c msctl -n "__fish_msctl_using_subcommand deploy" -l driver-image -d 'Image of msctl for that Job, in place of `driverImage` of msctl.yaml or the user config' -r
complete -c msctl -n "__fish_msctl_using_subcommand deploy" -s v -l verbose -d 'Say more; twice and thrice for more still'
complete -c msctl -n "__fish_msctl_using_subcommand deploy" -s q -l quiet -d 'Say nothing but the answer and errors'
complete -c msctl -n "__fish_msctl_using_subcommand deploy" -l no-input -d 'Never prompt: fail and name the flag that answers'
complete -c msctl -n "__fish_msctl_using_subcommand deploy" -l rolling -d 'Update in place'
complete -c msctl -n "__fish_msctl_using_subcommand deploy" -l canary -d 'Move traffic in steps'
complete -c msctl -n "__fish_msctl_using_subcommand deploy" -l blue-green -d 'Switch at once, after a preview'
complete -c msctl -n "__fish_msctl_using_subcommand deploy" -l ab -d 'Send a cohort to the new version until promoted (rollout.ab)'
complete -c msctl -n "__fish_msctl_using_subcommand deploy" -l mirror -d 'Send copies of requests to the new version until promoted (rollout.mirror)'
complete -c msctl -n "__fish_msctl_using_subcommand deploy" -l no-rollback -d 'Leave a failed version in place'
complete -c msctl -n "__fish_msctl_using_subcommand deploy" -l proceed -d 'Roll out although the live version is broken'
complete -c msctl -n "__fish_msctl_using_subcommand deploy" -l train -d 'All services wait for each other before they take over, and go back together when one is refused'
complete -c msctl -n "__fish_msctl_using_subcommand deploy" -l attended -d 'Stay and drive, where a protected environment asks for --detach'
complete -c msctl -n "__fish_msctl_using_subcommand deploy" -l plan -d 'Print the plan, write nothing'
complete -c msctl -n "__fish_msctl_using_subcommand deploy" -l detach -d 'Leave the driving to a Job in the cluster, and return'
complete -c msctl -n "__fish_msctl_using_subcommand deploy" -s h -l help -d 'Print help'
complete -c msctl -n "__fish_msctl_using_subcommand diff" -s e -l env -d 'Environment of msctl.yaml, of the user config, or a kubeconfig context' -r
complete -c msctl -n "__fish_msctl_using_subcommand diff" -s n -l namespace -d 'Kubernetes namespace' -r
complete -c msctl -n "__fish_msctl_using_subcommand diff" -l context -d 'Kubeconfig context' -r
complete -c msctl -n "__fish_msctl_using_subcommand diff" -l kubeconfig -d 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config' -r
complete -c msctl -n "__fish_msctl_using_subcommand diff" -s C -l directory -d 'Work as if started in this folder' -r -F
complete -c msctl -n "__fish_msctl_using_subcommand diff" -s o -l output -d 'Format of the answer' -r -f -a "text\t''
json\t''
ndjson\t''"
complete -c msctl -n "__fish_msctl_using_subcommand diff" -l color -d 'When to use colours' -r -f -a "auto\t''
always\t''
never\t''"
complete -c msctl -n "__fish_msctl_using_subcommand diff" -s y -l yes -d 'Agree to every question; `--yes=ENV` also to a protected environment' -r
complete -c msctl -n "__fish_msctl_using_subcommand diff" -l image -d 'Compare with this image in place of the built one' -r
complete -c msctl -n "__fish_msctl_using_subcommand diff" -s v -l verbose -d 'Say more; twice and thrice for more still'
complete -c msctl -n "__fish_msctl_using_subcommand diff" -s q -l quiet -d 'Say nothing but the answer and errors'
complete -c msctl -n "__fish_msctl_using_subcommand diff" -l no-input -d 'Never prompt: fail and name the flag that answers'
complete -c msctl -n "__fish_msctl_using_subcommand diff" -l owned -d 'List the fields that rollouts set, for tools that apply the same objects'
complete -c msctl -n "__fish_msctl_using_subcommand diff" -s h -l help -d 'Print help'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and not __fish_seen_subcommand_from status watch promote pause resume abort retry undo history rehearse judge report restart attach rbac help" -s e -l env -d 'Environment of msctl.yaml, of the user config, or a kubeconfig context' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and not __fish_seen_subcommand_from status watch promote pause resume abort retry undo history rehearse judge report restart attach rbac help" -s n -l namespace -d 'Kubernetes namespace' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and not __fish_seen_subcommand_from status watch promote pause resume abort retry undo history rehearse judge report restart attach rbac help" -l context -d 'Kubeconfig context' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and not __fish_seen_subcommand_from status watch promote pause resume abort retry undo history rehearse judge report restart attach rbac help" -l kubeconfig -d 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and not __fish_seen_subcommand_from status watch promote pause resume abort retry undo history rehearse judge report restart attach rbac help" -s C -l directory -d 'Work as if started in this folder' -r -F
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and not __fish_seen_subcommand_from status watch promote pause resume abort retry undo history rehearse judge report restart attach rbac help" -s o -l output -d 'Format of the answer' -r -f -a "text\t''
json\t''
ndjson\t''"
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and not __fish_seen_subcommand_from status watch promote pause resume abort retry undo history rehearse judge report restart attach rbac help" -l color -d 'When to use colours' -r -f -a "auto\t''
always\t''
never\t''"
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and not __fish_seen_subcommand_from status watch promote pause resume abort retry undo history rehearse judge report restart attach rbac help" -s y -l yes -d 'Agree to every question; `--yes=ENV` also to a protected environment' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and not __fish_seen_subcommand_from status watch promote pause resume abort retry undo history rehearse judge report restart attach rbac help" -s v -l verbose -d 'Say more; twice and thrice for more still'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and not __fish_seen_subcommand_from status watch promote pause resume abort retry undo history rehearse judge report restart attach rbac help" -s q -l quiet -d 'Say nothing but the answer and errors'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and not __fish_seen_subcommand_from status watch promote pause resume abort retry undo history rehearse judge report restart attach rbac help" -l no-input -d 'Never prompt: fail and name the flag that answers'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and not __fish_seen_subcommand_from status watch promote pause resume abort retry undo history rehearse judge report restart attach rbac help" -s h -l help -d 'Print help'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and not __fish_seen_subcommand_from status watch promote pause resume abort retry undo history rehearse judge report restart attach rbac help" -f -a "status" -d 'Show the rollout\'s state'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and not __fish_seen_subcommand_from status watch promote pause resume abort retry undo history rehearse judge report restart attach rbac help" -f -a "watch" -d 'Follow the rollout until it ends or waits'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and not __fish_seen_subcommand_from status watch promote pause resume abort retry undo history rehearse judge report restart attach rbac help" -f -a "promote" -d 'End the pause, or skip a step; `--full` skips all steps and analysis'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and not __fish_seen_subcommand_from status watch promote pause resume abort retry undo history rehearse judge report restart attach rbac help" -f -a "pause" -d 'Hold the rollout where it is'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and not __fish_seen_subcommand_from status watch promote pause resume abort retry undo history rehearse judge report restart attach rbac help" -f -a "resume" -d 'Go on after `pause`'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and not __fish_seen_subcommand_from status watch promote pause resume abort retry undo history rehearse judge report restart attach rbac help" -f -a "abort" -d 'Take the traffic back from the candidate'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and not __fish_seen_subcommand_from status watch promote pause resume abort retry undo history rehearse judge report restart attach rbac help" -f -a "retry" -d 'Start an aborted rollout again'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and not __fish_seen_subcommand_from status watch promote pause resume abort retry undo history rehearse judge report restart attach rbac help" -f -a "undo" -d 'Return to the last revision that was live, or to `--to N`'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and not __fish_seen_subcommand_from status watch promote pause resume abort retry undo history rehearse judge report restart attach rbac help" -f -a "history" -d 'List the deploys and their revisions'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and not __fish_seen_subcommand_from status watch promote pause resume abort retry undo history rehearse judge report restart attach rbac help" -f -a "rehearse" -d 'Try the rollout on this machine, with a version that goes wrong: do the gates see it?'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and not __fish_seen_subcommand_from status watch promote pause resume abort retry undo history rehearse judge report restart attach rbac help" -f -a "judge" -d 'Judge past deploys again, by other thresholds'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and not __fish_seen_subcommand_from status watch promote pause resume abort retry undo history rehearse judge report restart attach rbac help" -f -a "report" -d 'Write a deploy\'s report: one HTML file that needs nothing else'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and not __fish_seen_subcommand_from status watch promote pause resume abort retry undo history rehearse judge report restart attach rbac help" -f -a "restart" -d 'Replace the live pods one by one, with the same version'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and not __fish_seen_subcommand_from status watch promote pause resume abort retry undo history rehearse judge report restart attach rbac help" -f -a "attach" -d 'Drive a rollout whose driver is gone'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and not __fish_seen_subcommand_from status watch promote pause resume abort retry undo history rehearse judge report restart attach rbac help" -f -a "rbac" -d 'Print the account and rights that a driver in the cluster needs, for `kubectl apply -f -`'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and not __fish_seen_subcommand_from status watch promote pause resume abort retry undo history rehearse judge report restart attach rbac help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from status" -s e -l env -d 'Environment of msctl.yaml, of the user config, or a kubeconfig context' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from status" -s n -l namespace -d 'Kubernetes namespace' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from status" -l context -d 'Kubeconfig context' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from status" -l kubeconfig -d 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from status" -s C -l directory -d 'Work as if started in this folder' -r -F
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from status" -s o -l output -d 'Format of the answer' -r -f -a "text\t''
json\t''
ndjson\t''"
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from status" -l color -d 'When to use colours' -r -f -a "auto\t''
always\t''
never\t''"
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from status" -s y -l yes -d 'Agree to every question; `--yes=ENV` also to a protected environment' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from status" -s v -l verbose -d 'Say more; twice and thrice for more still'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from status" -s q -l quiet -d 'Say nothing but the answer and errors'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from status" -l no-input -d 'Never prompt: fail and name the flag that answers'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from status" -s h -l help -d 'Print help'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from watch" -s e -l env -d 'Environment of msctl.yaml, of the user config, or a kubeconfig context' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from watch" -s n -l namespace -d 'Kubernetes namespace' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from watch" -l context -d 'Kubeconfig context' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from watch" -l kubeconfig -d 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from watch" -s C -l directory -d 'Work as if started in this folder' -r -F
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from watch" -s o -l output -d 'Format of the answer' -r -f -a "text\t''
json\t''
ndjson\t''"
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from watch" -l color -d 'When to use colours' -r -f -a "auto\t''
always\t''
never\t''"
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from watch" -s y -l yes -d 'Agree to every question; `--yes=ENV` also to a protected environment' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from watch" -s v -l verbose -d 'Say more; twice and thrice for more still'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from watch" -s q -l quiet -d 'Say nothing but the answer and errors'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from watch" -l no-input -d 'Never prompt: fail and name the flag that answers'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from watch" -s h -l help -d 'Print help'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from promote" -s e -l env -d 'Environment of msctl.yaml, of the user config, or a kubeconfig context' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from promote" -s n -l namespace -d 'Kubernetes namespace' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from promote" -l context -d 'Kubeconfig context' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from promote" -l kubeconfig -d 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from promote" -s C -l directory -d 'Work as if started in this folder' -r -F
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from promote" -s o -l output -d 'Format of the answer' -r -f -a "text\t''
json\t''
ndjson\t''"
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from promote" -l color -d 'When to use colours' -r -f -a "auto\t''
always\t''
never\t''"
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from promote" -s y -l yes -d 'Agree to every question; `--yes=ENV` also to a protected environment' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from promote" -s v -l verbose -d 'Say more; twice and thrice for more still'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from promote" -s q -l quiet -d 'Say nothing but the answer and errors'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from promote" -l no-input -d 'Never prompt: fail and name the flag that answers'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from promote" -l full -d 'Skip all remaining steps and analysis'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from promote" -s h -l help -d 'Print help'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from pause" -s e -l env -d 'Environment of msctl.yaml, of the user config, or a kubeconfig context' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from pause" -s n -l namespace -d 'Kubernetes namespace' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from pause" -l context -d 'Kubeconfig context' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from pause" -l kubeconfig -d 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from pause" -s C -l directory -d 'Work as if started in this folder' -r -F
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from pause" -s o -l output -d 'Format of the answer' -r -f -a "text\t''
json\t''
ndjson\t''"
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from pause" -l color -d 'When to use colours' -r -f -a "auto\t''
always\t''
never\t''"
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from pause" -s y -l yes -d 'Agree to every question; `--yes=ENV` also to a protected environment' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from pause" -s v -l verbose -d 'Say more; twice and thrice for more still'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from pause" -s q -l quiet -d 'Say nothing but the answer and errors'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from pause" -l no-input -d 'Never prompt: fail and name the flag that answers'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from pause" -s h -l help -d 'Print help'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from resume" -s e -l env -d 'Environment of msctl.yaml, of the user config, or a kubeconfig context' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from resume" -s n -l namespace -d 'Kubernetes namespace' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from resume" -l context -d 'Kubeconfig context' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from resume" -l kubeconfig -d 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from resume" -s C -l directory -d 'Work as if started in this folder' -r -F
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from resume" -s o -l output -d 'Format of the answer' -r -f -a "text\t''
json\t''
ndjson\t''"
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from resume" -l color -d 'When to use colours' -r -f -a "auto\t''
always\t''
never\t''"
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from resume" -s y -l yes -d 'Agree to every question; `--yes=ENV` also to a protected environment' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from resume" -s v -l verbose -d 'Say more; twice and thrice for more still'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from resume" -s q -l quiet -d 'Say nothing but the answer and errors'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from resume" -l no-input -d 'Never prompt: fail and name the flag that answers'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from resume" -s h -l help -d 'Print help'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from abort" -s e -l env -d 'Environment of msctl.yaml, of the user config, or a kubeconfig context' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from abort" -s n -l namespace -d 'Kubernetes namespace' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from abort" -l context -d 'Kubeconfig context' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from abort" -l kubeconfig -d 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from abort" -s C -l directory -d 'Work as if started in this folder' -r -F
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from abort" -s o -l output -d 'Format of the answer' -r -f -a "text\t''
json\t''
ndjson\t''"
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from abort" -l color -d 'When to use colours' -r -f -a "auto\t''
always\t''
never\t''"
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from abort" -s y -l yes -d 'Agree to every question; `--yes=ENV` also to a protected environment' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from abort" -s v -l verbose -d 'Say more; twice and thrice for more still'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from abort" -s q -l quiet -d 'Say nothing but the answer and errors'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from abort" -l no-input -d 'Never prompt: fail and name the flag that answers'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from abort" -s h -l help -d 'Print help'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from retry" -s e -l env -d 'Environment of msctl.yaml, of the user config, or a kubeconfig context' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from retry" -s n -l namespace -d 'Kubernetes namespace' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from retry" -l context -d 'Kubeconfig context' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from retry" -l kubeconfig -d 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from retry" -s C -l directory -d 'Work as if started in this folder' -r -F
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from retry" -s o -l output -d 'Format of the answer' -r -f -a "text\t''
json\t''
ndjson\t''"
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from retry" -l color -d 'When to use colours' -r -f -a "auto\t''
always\t''
never\t''"
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from retry" -s y -l yes -d 'Agree to every question; `--yes=ENV` also to a protected environment' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from retry" -s v -l verbose -d 'Say more; twice and thrice for more still'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from retry" -s q -l quiet -d 'Say nothing but the answer and errors'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from retry" -l no-input -d 'Never prompt: fail and name the flag that answers'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from retry" -s h -l help -d 'Print help'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from undo" -s e -l env -d 'Environment of msctl.yaml, of the user config, or a kubeconfig context' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from undo" -s n -l namespace -d 'Kubernetes namespace' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from undo" -l context -d 'Kubeconfig context' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from undo" -l kubeconfig -d 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from undo" -s C -l directory -d 'Work as if started in this folder' -r -F
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from undo" -s o -l output -d 'Format of the answer' -r -f -a "text\t''
json\t''
ndjson\t''"
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from undo" -l color -d 'When to use colours' -r -f -a "auto\t''
always\t''
never\t''"
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from undo" -s y -l yes -d 'Agree to every question; `--yes=ENV` also to a protected environment' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from undo" -l to -d 'Revision to return to' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from undo" -s v -l verbose -d 'Say more; twice and thrice for more still'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from undo" -s q -l quiet -d 'Say nothing but the answer and errors'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from undo" -l no-input -d 'Never prompt: fail and name the flag that answers'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from undo" -s h -l help -d 'Print help'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from history" -s e -l env -d 'Environment of msctl.yaml, of the user config, or a kubeconfig context' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from history" -s n -l namespace -d 'Kubernetes namespace' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from history" -l context -d 'Kubeconfig context' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from history" -l kubeconfig -d 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from history" -s C -l directory -d 'Work as if started in this folder' -r -F
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from history" -s o -l output -d 'Format of the answer' -r -f -a "text\t''
json\t''
ndjson\t''"
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from history" -l color -d 'When to use colours' -r -f -a "auto\t''
always\t''
never\t''"
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from history" -s y -l yes -d 'Agree to every question; `--yes=ENV` also to a protected environment' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from history" -s v -l verbose -d 'Say more; twice and thrice for more still'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from history" -s q -l quiet -d 'Say nothing but the answer and errors'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from history" -l no-input -d 'Never prompt: fail and name the flag that answers'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from history" -s h -l help -d 'Print help'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from rehearse" -s e -l env -d 'Environment of msctl.yaml, of the user config, or a kubeconfig context' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from rehearse" -s n -l namespace -d 'Kubernetes namespace' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from rehearse" -l context -d 'Kubeconfig context' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from rehearse" -l kubeconfig -d 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from rehearse" -s C -l directory -d 'Work as if started in this folder' -r -F
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from rehearse" -s o -l output -d 'Format of the answer' -r -f -a "text\t''
json\t''
ndjson\t''"
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from rehearse" -l color -d 'When to use colours' -r -f -a "auto\t''
always\t''
never\t''"
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from rehearse" -s y -l yes -d 'Agree to every question; `--yes=ENV` also to a protected environment' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from rehearse" -l fault -d 'What goes wrong: errors=5%, latency=1s, crash=2s (after the first request) or unready (may repeat); the first three when none is named' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from rehearse" -l rate -d 'Requests a second' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from rehearse" -l path -d 'Path of the requests' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from rehearse" -l header -d 'Header of the requests (may repeat); `${NAME}` in it is a variable of the environment' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from rehearse" -l steps -d 'Canary weights in percent, such as 10,25,50' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from rehearse" -l pause -d 'Pause after every weight below 100, such as 20s' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from rehearse" -s v -l verbose -d 'Say more; twice and thrice for more still'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from rehearse" -s q -l quiet -d 'Say nothing but the answer and errors'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from rehearse" -l no-input -d 'Never prompt: fail and name the flag that answers'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from rehearse" -l rolling -d 'Update in place'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from rehearse" -l canary -d 'Move traffic in steps'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from rehearse" -l blue-green -d 'Switch at once, after a preview'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from rehearse" -l ab -d 'Send a cohort to the new version until promoted (rollout.ab)'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from rehearse" -l mirror -d 'Send copies of requests to the new version until promoted (rollout.mirror)'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from rehearse" -s h -l help -d 'Print help'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from judge" -s e -l env -d 'Environment of msctl.yaml, of the user config, or a kubeconfig context' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from judge" -s n -l namespace -d 'Kubernetes namespace' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from judge" -l context -d 'Kubeconfig context' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from judge" -l kubeconfig -d 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from judge" -s C -l directory -d 'Work as if started in this folder' -r -F
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from judge" -s o -l output -d 'Format of the answer' -r -f -a "text\t''
json\t''
ndjson\t''"
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from judge" -l color -d 'When to use colours' -r -f -a "auto\t''
always\t''
never\t''"
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from judge" -s y -l yes -d 'Agree to every question; `--yes=ENV` also to a protected environment' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from judge" -l metric -d 'Threshold in place of msctl.yaml\'s, such as errors:max=2%,minSamples=100 (may repeat)' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from judge" -s v -l verbose -d 'Say more; twice and thrice for more still'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from judge" -s q -l quiet -d 'Say nothing but the answer and errors'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from judge" -l no-input -d 'Never prompt: fail and name the flag that answers'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from judge" -s h -l help -d 'Print help'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from report" -s e -l env -d 'Environment of msctl.yaml, of the user config, or a kubeconfig context' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from report" -s n -l namespace -d 'Kubernetes namespace' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from report" -l context -d 'Kubeconfig context' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from report" -l kubeconfig -d 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from report" -s C -l directory -d 'Work as if started in this folder' -r -F
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from report" -s o -l output -d 'Format of the answer' -r -f -a "text\t''
json\t''
ndjson\t''"
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from report" -l color -d 'When to use colours' -r -f -a "auto\t''
always\t''
never\t''"
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from report" -s y -l yes -d 'Agree to every question; `--yes=ENV` also to a protected environment' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from report" -l out -d 'File to write, `-` for stdout; SERVICE-deploy-N.html when not given' -r -F
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from report" -s v -l verbose -d 'Say more; twice and thrice for more still'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from report" -s q -l quiet -d 'Say nothing but the answer and errors'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from report" -l no-input -d 'Never prompt: fail and name the flag that answers'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from report" -s h -l help -d 'Print help'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from restart" -s e -l env -d 'Environment of msctl.yaml, of the user config, or a kubeconfig context' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from restart" -s n -l namespace -d 'Kubernetes namespace' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from restart" -l context -d 'Kubeconfig context' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from restart" -l kubeconfig -d 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from restart" -s C -l directory -d 'Work as if started in this folder' -r -F
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from restart" -s o -l output -d 'Format of the answer' -r -f -a "text\t''
json\t''
ndjson\t''"
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from restart" -l color -d 'When to use colours' -r -f -a "auto\t''
always\t''
never\t''"
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from restart" -s y -l yes -d 'Agree to every question; `--yes=ENV` also to a protected environment' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from restart" -s v -l verbose -d 'Say more; twice and thrice for more still'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from restart" -s q -l quiet -d 'Say nothing but the answer and errors'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from restart" -l no-input -d 'Never prompt: fail and name the flag that answers'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from restart" -s h -l help -d 'Print help'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from attach" -s e -l env -d 'Environment of msctl.yaml, of the user config, or a kubeconfig context' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from attach" -s n -l namespace -d 'Kubernetes namespace' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from attach" -l context -d 'Kubeconfig context' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from attach" -l kubeconfig -d 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from attach" -s C -l directory -d 'Work as if started in this folder' -r -F
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from attach" -s o -l output -d 'Format of the answer' -r -f -a "text\t''
json\t''
ndjson\t''"
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from attach" -l color -d 'When to use colours' -r -f -a "auto\t''
always\t''
never\t''"
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from attach" -s y -l yes -d 'Agree to every question; `--yes=ENV` also to a protected environment' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from attach" -l driver-image -d 'Image of msctl for that Job, in place of `driverImage` of msctl.yaml or the user config' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from attach" -s v -l verbose -d 'Say more; twice and thrice for more still'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from attach" -s q -l quiet -d 'Say nothing but the answer and errors'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from attach" -l no-input -d 'Never prompt: fail and name the flag that answers'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from attach" -l once -d 'Do what is due, then return'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from attach" -l detach -d 'Leave the driving to a Job in the cluster, and return'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from attach" -s h -l help -d 'Print help'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from rbac" -s e -l env -d 'Environment of msctl.yaml, of the user config, or a kubeconfig context' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from rbac" -s n -l namespace -d 'Kubernetes namespace' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from rbac" -l context -d 'Kubeconfig context' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from rbac" -l kubeconfig -d 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from rbac" -s C -l directory -d 'Work as if started in this folder' -r -F
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from rbac" -s o -l output -d 'Format of the answer' -r -f -a "text\t''
json\t''
ndjson\t''"
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from rbac" -l color -d 'When to use colours' -r -f -a "auto\t''
always\t''
never\t''"
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from rbac" -s y -l yes -d 'Agree to every question; `--yes=ENV` also to a protected environment' -r
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from rbac" -s v -l verbose -d 'Say more; twice and thrice for more still'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from rbac" -s q -l quiet -d 'Say nothing but the answer and errors'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from rbac" -l no-input -d 'Never prompt: fail and name the flag that answers'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from rbac" -s h -l help -d 'Print help'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from help" -f -a "status" -d 'Show the rollout\'s state'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from help" -f -a "watch" -d 'Follow the rollout until it ends or waits'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from help" -f -a "promote" -d 'End the pause, or skip a step; `--full` skips all steps and analysis'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from help" -f -a "pause" -d 'Hold the rollout where it is'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from help" -f -a "resume" -d 'Go on after `pause`'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from help" -f -a "abort" -d 'Take the traffic back from the candidate'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from help" -f -a "retry" -d 'Start an aborted rollout again'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from help" -f -a "undo" -d 'Return to the last revision that was live, or to `--to N`'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from help" -f -a "history" -d 'List the deploys and their revisions'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from help" -f -a "rehearse" -d 'Try the rollout on this machine, with a version that goes wrong: do the gates see it?'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from help" -f -a "judge" -d 'Judge past deploys again, by other thresholds'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from help" -f -a "report" -d 'Write a deploy\'s report: one HTML file that needs nothing else'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from help" -f -a "restart" -d 'Replace the live pods one by one, with the same version'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from help" -f -a "attach" -d 'Drive a rollout whose driver is gone'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from help" -f -a "rbac" -d 'Print the account and rights that a driver in the cluster needs, for `kubectl apply -f -`'
complete -c msctl -n "__fish_msctl_using_subcommand rollout; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c msctl -n "__fish_msctl_using_subcommand status" -s e -l env -d 'Environment of msctl.yaml, of the user config, or a kubeconfig context' -r
complete -c msctl -n "__fish_msctl_using_subcommand status" -s n -l namespace -d 'Kubernetes namespace' -r
complete -c msctl -n "__fish_msctl_using_subcommand status" -l context -d 'Kubeconfig context' -r
complete -c msctl -n "__fish_msctl_using_subcommand status" -l kubeconfig -d 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config' -r
complete -c msctl -n "__fish_msctl_using_subcommand status" -s C -l directory -d 'Work as if started in this folder' -r -F
complete -c msctl -n "__fish_msctl_using_subcommand status" -s o -l output -d 'Format of the answer' -r -f -a "text\t''
json\t''
ndjson\t''"
complete -c msctl -n "__fish_msctl_using_subcommand status" -l color -d 'When to use colours' -r -f -a "auto\t''
always\t''
never\t''"
complete -c msctl -n "__fish_msctl_using_subcommand status" -s y -l yes -d 'Agree to every question; `--yes=ENV` also to a protected environment' -r
complete -c msctl -n "__fish_msctl_using_subcommand status" -s v -l verbose -d 'Say more; twice and thrice for more still'
complete -c msctl -n "__fish_msctl_using_subcommand status" -s q -l quiet -d 'Say nothing but the answer and errors'
complete -c msctl -n "__fish_msctl_using_subcommand status" -l no-input -d 'Never prompt: fail and name the flag that answers'
complete -c msctl -n "__fish_msctl_using_subcommand status" -s h -l help -d 'Print help'
complete -c msctl -n "__fish_msctl_using_subcommand logs" -s e -l env -d 'Environment of msctl.yaml, of the user config, or a kubeconfig context' -r
complete -c msctl -n "__fish_msctl_using_subcommand logs" -s n -l namespace -d 'Kubernetes namespace' -r
complete -c msctl -n "__fish_msctl_using_subcommand logs" -l context -d 'Kubeconfig context' -r
complete -c msctl -n "__fish_msctl_using_subcommand logs" -l kubeconfig -d 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config' -r
complete -c msctl -n "__fish_msctl_using_subcommand logs" -s C -l directory -d 'Work as if started in this folder' -r -F
complete -c msctl -n "__fish_msctl_using_subcommand logs" -s o -l output -d 'Format of the answer' -r -f -a "text\t''
json\t''
ndjson\t''"
complete -c msctl -n "__fish_msctl_using_subcommand logs" -l color -d 'When to use colours' -r -f -a "auto\t''
always\t''
never\t''"
complete -c msctl -n "__fish_msctl_using_subcommand logs" -s y -l yes -d 'Agree to every question; `--yes=ENV` also to a protected environment' -r
complete -c msctl -n "__fish_msctl_using_subcommand logs" -l tail -d 'Lines from the end of each pod\'s log' -r
complete -c msctl -n "__fish_msctl_using_subcommand logs" -l since -d 'Only what is younger, such as 10m' -r
complete -c msctl -n "__fish_msctl_using_subcommand logs" -l slot -d 'Only this slot: blue or green' -r
complete -c msctl -n "__fish_msctl_using_subcommand logs" -s v -l verbose -d 'Say more; twice and thrice for more still'
complete -c msctl -n "__fish_msctl_using_subcommand logs" -s q -l quiet -d 'Say nothing but the answer and errors'
complete -c msctl -n "__fish_msctl_using_subcommand logs" -l no-input -d 'Never prompt: fail and name the flag that answers'
complete -c msctl -n "__fish_msctl_using_subcommand logs" -s f -l follow -d 'Go on printing'
complete -c msctl -n "__fish_msctl_using_subcommand logs" -l driver -d 'The log of the driver in the cluster (`deploy --detach`)'
complete -c msctl -n "__fish_msctl_using_subcommand logs" -l previous -d 'The log of the container\'s previous run'
complete -c msctl -n "__fish_msctl_using_subcommand logs" -s h -l help -d 'Print help'
complete -c msctl -n "__fish_msctl_using_subcommand scale" -s e -l env -d 'Environment of msctl.yaml, of the user config, or a kubeconfig context' -r
complete -c msctl -n "__fish_msctl_using_subcommand scale" -s n -l namespace -d 'Kubernetes namespace' -r
complete -c msctl -n "__fish_msctl_using_subcommand scale" -l context -d 'Kubeconfig context' -r
complete -c msctl -n "__fish_msctl_using_subcommand scale" -l kubeconfig -d 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config' -r
complete -c msctl -n "__fish_msctl_using_subcommand scale" -s C -l directory -d 'Work as if started in this folder' -r -F
complete -c msctl -n "__fish_msctl_using_subcommand scale" -s o -l output -d 'Format of the answer' -r -f -a "text\t''
json\t''
ndjson\t''"
complete -c msctl -n "__fish_msctl_using_subcommand scale" -l color -d 'When to use colours' -r -f -a "auto\t''
always\t''
never\t''"
complete -c msctl -n "__fish_msctl_using_subcommand scale" -s y -l yes -d 'Agree to every question; `--yes=ENV` also to a protected environment' -r
complete -c msctl -n "__fish_msctl_using_subcommand scale" -s v -l verbose -d 'Say more; twice and thrice for more still'
complete -c msctl -n "__fish_msctl_using_subcommand scale" -s q -l quiet -d 'Say nothing but the answer and errors'
complete -c msctl -n "__fish_msctl_using_subcommand scale" -l no-input -d 'Never prompt: fail and name the flag that answers'
complete -c msctl -n "__fish_msctl_using_subcommand scale" -s h -l help -d 'Print help'
complete -c msctl -n "__fish_msctl_using_subcommand migrate; and not __fish_seen_subcommand_from contract help" -s e -l env -d 'Environment of msctl.yaml, of the user config, or a kubeconfig context' -r
complete -c msctl -n "__fish_msctl_using_subcommand migrate; and not __fish_seen_subcommand_from contract help" -s n -l namespace -d 'Kubernetes namespace' -r
complete -c msctl -n "__fish_msctl_using_subcommand migrate; and not __fish_seen_subcommand_from contract help" -l context -d 'Kubeconfig context' -r
complete -c msctl -n "__fish_msctl_using_subcommand migrate; and not __fish_seen_subcommand_from contract help" -l kubeconfig -d 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config' -r
complete -c msctl -n "__fish_msctl_using_subcommand migrate; and not __fish_seen_subcommand_from contract help" -s C -l directory -d 'Work as if started in this folder' -r -F
complete -c msctl -n "__fish_msctl_using_subcommand migrate; and not __fish_seen_subcommand_from contract help" -s o -l output -d 'Format of the answer' -r -f -a "text\t''
json\t''
ndjson\t''"
complete -c msctl -n "__fish_msctl_using_subcommand migrate; and not __fish_seen_subcommand_from contract help" -l color -d 'When to use colours' -r -f -a "auto\t''
always\t''
never\t''"
complete -c msctl -n "__fish_msctl_using_subcommand migrate; and not __fish_seen_subcommand_from contract help" -s y -l yes -d 'Agree to every question; `--yes=ENV` also to a protected environment' -r
complete -c msctl -n "__fish_msctl_using_subcommand migrate; and not __fish_seen_subcommand_from contract help" -s v -l verbose -d 'Say more; twice and thrice for more still'
complete -c msctl -n "__fish_msctl_using_subcommand migrate; and not __fish_seen_subcommand_from contract help" -s q -l quiet -d 'Say nothing but the answer and errors'
complete -c msctl -n "__fish_msctl_using_subcommand migrate; and not __fish_seen_subcommand_from contract help" -l no-input -d 'Never prompt: fail and name the flag that answers'
complete -c msctl -n "__fish_msctl_using_subcommand migrate; and not __fish_seen_subcommand_from contract help" -s h -l help -d 'Print help'
complete -c msctl -n "__fish_msctl_using_subcommand migrate; and not __fish_seen_subcommand_from contract help" -f -a "contract" -d 'Take away what only revisions before the live one need: none of them can come back'
complete -c msctl -n "__fish_msctl_using_subcommand migrate; and not __fish_seen_subcommand_from contract help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c msctl -n "__fish_msctl_using_subcommand migrate; and __fish_seen_subcommand_from contract" -s e -l env -d 'Environment of msctl.yaml, of the user config, or a kubeconfig context' -r
complete -c msctl -n "__fish_msctl_using_subcommand migrate; and __fish_seen_subcommand_from contract" -s n -l namespace -d 'Kubernetes namespace' -r
complete -c msctl -n "__fish_msctl_using_subcommand migrate; and __fish_seen_subcommand_from contract" -l context -d 'Kubeconfig context' -r
complete -c msctl -n "__fish_msctl_using_subcommand migrate; and __fish_seen_subcommand_from contract" -l kubeconfig -d 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config' -r
complete -c msctl -n "__fish_msctl_using_subcommand migrate; and __fish_seen_subcommand_from contract" -s C -l directory -d 'Work as if started in this folder' -r -F
complete -c msctl -n "__fish_msctl_using_subcommand migrate; and __fish_seen_subcommand_from contract" -s o -l output -d 'Format of the answer' -r -f -a "text\t''
json\t''
ndjson\t''"
complete -c msctl -n "__fish_msctl_using_subcommand migrate; and __fish_seen_subcommand_from contract" -l color -d 'When to use colours' -r -f -a "auto\t''
always\t''
never\t''"
complete -c msctl -n "__fish_msctl_using_subcommand migrate; and __fish_seen_subcommand_from contract" -s y -l yes -d 'Agree to every question; `--yes=ENV` also to a protected environment' -r
complete -c msctl -n "__fish_msctl_using_subcommand migrate; and __fish_seen_subcommand_from contract" -s v -l verbose -d 'Say more; twice and thrice for more still'
complete -c msctl -n "__fish_msctl_using_subcommand migrate; and __fish_seen_subcommand_from contract" -s q -l quiet -d 'Say nothing but the answer and errors'
complete -c msctl -n "__fish_msctl_using_subcommand migrate; and __fish_seen_subcommand_from contract" -l no-input -d 'Never prompt: fail and name the flag that answers'
complete -c msctl -n "__fish_msctl_using_subcommand migrate; and __fish_seen_subcommand_from contract" -s h -l help -d 'Print help'
complete -c msctl -n "__fish_msctl_using_subcommand migrate; and __fish_seen_subcommand_from help" -f -a "contract" -d 'Take away what only revisions before the live one need: none of them can come back'
complete -c msctl -n "__fish_msctl_using_subcommand migrate; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c msctl -n "__fish_msctl_using_subcommand delete" -s e -l env -d 'Environment of msctl.yaml, of the user config, or a kubeconfig context' -r
complete -c msctl -n "__fish_msctl_using_subcommand delete" -s n -l namespace -d 'Kubernetes namespace' -r
complete -c msctl -n "__fish_msctl_using_subcommand delete" -l context -d 'Kubeconfig context' -r
complete -c msctl -n "__fish_msctl_using_subcommand delete" -l kubeconfig -d 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config' -r
complete -c msctl -n "__fish_msctl_using_subcommand delete" -s C -l directory -d 'Work as if started in this folder' -r -F
complete -c msctl -n "__fish_msctl_using_subcommand delete" -s o -l output -d 'Format of the answer' -r -f -a "text\t''
json\t''
ndjson\t''"
complete -c msctl -n "__fish_msctl_using_subcommand delete" -l color -d 'When to use colours' -r -f -a "auto\t''
always\t''
never\t''"
complete -c msctl -n "__fish_msctl_using_subcommand delete" -s y -l yes -d 'Agree to every question; `--yes=ENV` also to a protected environment' -r
complete -c msctl -n "__fish_msctl_using_subcommand delete" -s v -l verbose -d 'Say more; twice and thrice for more still'
complete -c msctl -n "__fish_msctl_using_subcommand delete" -s q -l quiet -d 'Say nothing but the answer and errors'
complete -c msctl -n "__fish_msctl_using_subcommand delete" -l no-input -d 'Never prompt: fail and name the flag that answers'
complete -c msctl -n "__fish_msctl_using_subcommand delete" -s h -l help -d 'Print help'
complete -c msctl -n "__fish_msctl_using_subcommand local; and not __fish_seen_subcommand_from status down help" -s e -l env -d 'Environment of msctl.yaml, of the user config, or a kubeconfig context' -r
complete -c msctl -n "__fish_msctl_using_subcommand local; and not __fish_seen_subcommand_from status down help" -s n -l namespace -d 'Kubernetes namespace' -r
complete -c msctl -n "__fish_msctl_using_subcommand local; and not __fish_seen_subcommand_from status down help" -l context -d 'Kubeconfig context' -r
complete -c msctl -n "__fish_msctl_using_subcommand local; and not __fish_seen_subcommand_from status down help" -l kubeconfig -d 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config' -r
complete -c msctl -n "__fish_msctl_using_subcommand local; and not __fish_seen_subcommand_from status down help" -s C -l directory -d 'Work as if started in this folder' -r -F
complete -c msctl -n "__fish_msctl_using_subcommand local; and not __fish_seen_subcommand_from status down help" -s o -l output -d 'Format of the answer' -r -f -a "text\t''
json\t''
ndjson\t''"
complete -c msctl -n "__fish_msctl_using_subcommand local; and not __fish_seen_subcommand_from status down help" -l color -d 'When to use colours' -r -f -a "auto\t''
always\t''
never\t''"
complete -c msctl -n "__fish_msctl_using_subcommand local; and not __fish_seen_subcommand_from status down help" -s y -l yes -d 'Agree to every question; `--yes=ENV` also to a protected environment' -r
complete -c msctl -n "__fish_msctl_using_subcommand local; and not __fish_seen_subcommand_from status down help" -s v -l verbose -d 'Say more; twice and thrice for more still'
complete -c msctl -n "__fish_msctl_using_subcommand local; and not __fish_seen_subcommand_from status down help" -s q -l quiet -d 'Say nothing but the answer and errors'
complete -c msctl -n "__fish_msctl_using_subcommand local; and not __fish_seen_subcommand_from status down help" -l no-input -d 'Never prompt: fail and name the flag that answers'
complete -c msctl -n "__fish_msctl_using_subcommand local; and not __fish_seen_subcommand_from status down help" -s h -l help -d 'Print help'
complete -c msctl -n "__fish_msctl_using_subcommand local; and not __fish_seen_subcommand_from status down help" -f -a "status" -d 'Show the agent and the services it runs'
complete -c msctl -n "__fish_msctl_using_subcommand local; and not __fish_seen_subcommand_from status down help" -f -a "down" -d 'Stop every local service and the agent, and leave nothing behind'
complete -c msctl -n "__fish_msctl_using_subcommand local; and not __fish_seen_subcommand_from status down help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c msctl -n "__fish_msctl_using_subcommand local; and __fish_seen_subcommand_from status" -s e -l env -d 'Environment of msctl.yaml, of the user config, or a kubeconfig context' -r
complete -c msctl -n "__fish_msctl_using_subcommand local; and __fish_seen_subcommand_from status" -s n -l namespace -d 'Kubernetes namespace' -r
complete -c msctl -n "__fish_msctl_using_subcommand local; and __fish_seen_subcommand_from status" -l context -d 'Kubeconfig context' -r
complete -c msctl -n "__fish_msctl_using_subcommand local; and __fish_seen_subcommand_from status" -l kubeconfig -d 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config' -r
complete -c msctl -n "__fish_msctl_using_subcommand local; and __fish_seen_subcommand_from status" -s C -l directory -d 'Work as if started in this folder' -r -F
complete -c msctl -n "__fish_msctl_using_subcommand local; and __fish_seen_subcommand_from status" -s o -l output -d 'Format of the answer' -r -f -a "text\t''
json\t''
ndjson\t''"
complete -c msctl -n "__fish_msctl_using_subcommand local; and __fish_seen_subcommand_from status" -l color -d 'When to use colours' -r -f -a "auto\t''
always\t''
never\t''"
complete -c msctl -n "__fish_msctl_using_subcommand local; and __fish_seen_subcommand_from status" -s y -l yes -d 'Agree to every question; `--yes=ENV` also to a protected environment' -r
complete -c msctl -n "__fish_msctl_using_subcommand local; and __fish_seen_subcommand_from status" -s v -l verbose -d 'Say more; twice and thrice for more still'
complete -c msctl -n "__fish_msctl_using_subcommand local; and __fish_seen_subcommand_from status" -s q -l quiet -d 'Say nothing but the answer and errors'
complete -c msctl -n "__fish_msctl_using_subcommand local; and __fish_seen_subcommand_from status" -l no-input -d 'Never prompt: fail and name the flag that answers'
complete -c msctl -n "__fish_msctl_using_subcommand local; and __fish_seen_subcommand_from status" -s h -l help -d 'Print help'
complete -c msctl -n "__fish_msctl_using_subcommand local; and __fish_seen_subcommand_from down" -s e -l env -d 'Environment of msctl.yaml, of the user config, or a kubeconfig context' -r
complete -c msctl -n "__fish_msctl_using_subcommand local; and __fish_seen_subcommand_from down" -s n -l namespace -d 'Kubernetes namespace' -r
complete -c msctl -n "__fish_msctl_using_subcommand local; and __fish_seen_subcommand_from down" -l context -d 'Kubeconfig context' -r
complete -c msctl -n "__fish_msctl_using_subcommand local; and __fish_seen_subcommand_from down" -l kubeconfig -d 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config' -r
complete -c msctl -n "__fish_msctl_using_subcommand local; and __fish_seen_subcommand_from down" -s C -l directory -d 'Work as if started in this folder' -r -F
complete -c msctl -n "__fish_msctl_using_subcommand local; and __fish_seen_subcommand_from down" -s o -l output -d 'Format of the answer' -r -f -a "text\t''
json\t''
ndjson\t''"
complete -c msctl -n "__fish_msctl_using_subcommand local; and __fish_seen_subcommand_from down" -l color -d 'When to use colours' -r -f -a "auto\t''
always\t''
never\t''"
complete -c msctl -n "__fish_msctl_using_subcommand local; and __fish_seen_subcommand_from down" -s y -l yes -d 'Agree to every question; `--yes=ENV` also to a protected environment' -r
complete -c msctl -n "__fish_msctl_using_subcommand local; and __fish_seen_subcommand_from down" -s v -l verbose -d 'Say more; twice and thrice for more still'
complete -c msctl -n "__fish_msctl_using_subcommand local; and __fish_seen_subcommand_from down" -s q -l quiet -d 'Say nothing but the answer and errors'
complete -c msctl -n "__fish_msctl_using_subcommand local; and __fish_seen_subcommand_from down" -l no-input -d 'Never prompt: fail and name the flag that answers'
complete -c msctl -n "__fish_msctl_using_subcommand local; and __fish_seen_subcommand_from down" -s h -l help -d 'Print help'
complete -c msctl -n "__fish_msctl_using_subcommand local; and __fish_seen_subcommand_from help" -f -a "status" -d 'Show the agent and the services it runs'
complete -c msctl -n "__fish_msctl_using_subcommand local; and __fish_seen_subcommand_from help" -f -a "down" -d 'Stop every local service and the agent, and leave nothing behind'
complete -c msctl -n "__fish_msctl_using_subcommand local; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c msctl -n "__fish_msctl_using_subcommand adopt" -s e -l env -d 'Environment of msctl.yaml, of the user config, or a kubeconfig context' -r
complete -c msctl -n "__fish_msctl_using_subcommand adopt" -s n -l namespace -d 'Kubernetes namespace' -r
complete -c msctl -n "__fish_msctl_using_subcommand adopt" -l context -d 'Kubeconfig context' -r
complete -c msctl -n "__fish_msctl_using_subcommand adopt" -l kubeconfig -d 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config' -r
complete -c msctl -n "__fish_msctl_using_subcommand adopt" -s C -l directory -d 'Work as if started in this folder' -r -F
complete -c msctl -n "__fish_msctl_using_subcommand adopt" -s o -l output -d 'Format of the answer' -r -f -a "text\t''
json\t''
ndjson\t''"
complete -c msctl -n "__fish_msctl_using_subcommand adopt" -l color -d 'When to use colours' -r -f -a "auto\t''
always\t''
never\t''"
complete -c msctl -n "__fish_msctl_using_subcommand adopt" -s y -l yes -d 'Agree to every question; `--yes=ENV` also to a protected environment' -r
complete -c msctl -n "__fish_msctl_using_subcommand adopt" -l service -d 'Service of the workspace that it becomes' -r
complete -c msctl -n "__fish_msctl_using_subcommand adopt" -s v -l verbose -d 'Say more; twice and thrice for more still'
complete -c msctl -n "__fish_msctl_using_subcommand adopt" -s q -l quiet -d 'Say nothing but the answer and errors'
complete -c msctl -n "__fish_msctl_using_subcommand adopt" -l no-input -d 'Never prompt: fail and name the flag that answers'
complete -c msctl -n "__fish_msctl_using_subcommand adopt" -l plan -d 'Say what matches its pods and what it would mean, write nothing'
complete -c msctl -n "__fish_msctl_using_subcommand adopt" -s h -l help -d 'Print help'
complete -c msctl -n "__fish_msctl_using_subcommand demo" -s e -l env -d 'Environment of msctl.yaml, of the user config, or a kubeconfig context' -r
complete -c msctl -n "__fish_msctl_using_subcommand demo" -s n -l namespace -d 'Kubernetes namespace' -r
complete -c msctl -n "__fish_msctl_using_subcommand demo" -l context -d 'Kubeconfig context' -r
complete -c msctl -n "__fish_msctl_using_subcommand demo" -l kubeconfig -d 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config' -r
complete -c msctl -n "__fish_msctl_using_subcommand demo" -s C -l directory -d 'Work as if started in this folder' -r -F
complete -c msctl -n "__fish_msctl_using_subcommand demo" -s o -l output -d 'Format of the answer' -r -f -a "text\t''
json\t''
ndjson\t''"
complete -c msctl -n "__fish_msctl_using_subcommand demo" -l color -d 'When to use colours' -r -f -a "auto\t''
always\t''
never\t''"
complete -c msctl -n "__fish_msctl_using_subcommand demo" -s y -l yes -d 'Agree to every question; `--yes=ENV` also to a protected environment' -r
complete -c msctl -n "__fish_msctl_using_subcommand demo" -s t -l template -d 'Template to tour with; the first whose toolchain is present otherwise' -r
complete -c msctl -n "__fish_msctl_using_subcommand demo" -s v -l verbose -d 'Say more; twice and thrice for more still'
complete -c msctl -n "__fish_msctl_using_subcommand demo" -s q -l quiet -d 'Say nothing but the answer and errors'
complete -c msctl -n "__fish_msctl_using_subcommand demo" -l no-input -d 'Never prompt: fail and name the flag that answers'
complete -c msctl -n "__fish_msctl_using_subcommand demo" -l keep -d 'Leave the demo service running and its folder in place'
complete -c msctl -n "__fish_msctl_using_subcommand demo" -s h -l help -d 'Print help'
complete -c msctl -n "__fish_msctl_using_subcommand doctor" -s e -l env -d 'Environment of msctl.yaml, of the user config, or a kubeconfig context' -r
complete -c msctl -n "__fish_msctl_using_subcommand doctor" -s n -l namespace -d 'Kubernetes namespace' -r
complete -c msctl -n "__fish_msctl_using_subcommand doctor" -l context -d 'Kubeconfig context' -r
complete -c msctl -n "__fish_msctl_using_subcommand doctor" -l kubeconfig -d 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config' -r
complete -c msctl -n "__fish_msctl_using_subcommand doctor" -s C -l directory -d 'Work as if started in this folder' -r -F
complete -c msctl -n "__fish_msctl_using_subcommand doctor" -s o -l output -d 'Format of the answer' -r -f -a "text\t''
json\t''
ndjson\t''"
complete -c msctl -n "__fish_msctl_using_subcommand doctor" -l color -d 'When to use colours' -r -f -a "auto\t''
always\t''
never\t''"
complete -c msctl -n "__fish_msctl_using_subcommand doctor" -s y -l yes -d 'Agree to every question; `--yes=ENV` also to a protected environment' -r
complete -c msctl -n "__fish_msctl_using_subcommand doctor" -s v -l verbose -d 'Say more; twice and thrice for more still'
complete -c msctl -n "__fish_msctl_using_subcommand doctor" -s q -l quiet -d 'Say nothing but the answer and errors'
complete -c msctl -n "__fish_msctl_using_subcommand doctor" -l no-input -d 'Never prompt: fail and name the flag that answers'
complete -c msctl -n "__fish_msctl_using_subcommand doctor" -s h -l help -d 'Print help'
complete -c msctl -n "__fish_msctl_using_subcommand config; and not __fish_seen_subcommand_from show schema help" -s e -l env -d 'Environment of msctl.yaml, of the user config, or a kubeconfig context' -r
complete -c msctl -n "__fish_msctl_using_subcommand config; and not __fish_seen_subcommand_from show schema help" -s n -l namespace -d 'Kubernetes namespace' -r
complete -c msctl -n "__fish_msctl_using_subcommand config; and not __fish_seen_subcommand_from show schema help" -l context -d 'Kubeconfig context' -r
complete -c msctl -n "__fish_msctl_using_subcommand config; and not __fish_seen_subcommand_from show schema help" -l kubeconfig -d 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config' -r
complete -c msctl -n "__fish_msctl_using_subcommand config; and not __fish_seen_subcommand_from show schema help" -s C -l directory -d 'Work as if started in this folder' -r -F
complete -c msctl -n "__fish_msctl_using_subcommand config; and not __fish_seen_subcommand_from show schema help" -s o -l output -d 'Format of the answer' -r -f -a "text\t''
json\t''
ndjson\t''"
complete -c msctl -n "__fish_msctl_using_subcommand config; and not __fish_seen_subcommand_from show schema help" -l color -d 'When to use colours' -r -f -a "auto\t''
always\t''
never\t''"
complete -c msctl -n "__fish_msctl_using_subcommand config; and not __fish_seen_subcommand_from show schema help" -s y -l yes -d 'Agree to every question; `--yes=ENV` also to a protected environment' -r
complete -c msctl -n "__fish_msctl_using_subcommand config; and not __fish_seen_subcommand_from show schema help" -s v -l verbose -d 'Say more; twice and thrice for more still'
complete -c msctl -n "__fish_msctl_using_subcommand config; and not __fish_seen_subcommand_from show schema help" -s q -l quiet -d 'Say nothing but the answer and errors'
complete -c msctl -n "__fish_msctl_using_subcommand config; and not __fish_seen_subcommand_from show schema help" -l no-input -d 'Never prompt: fail and name the flag that answers'
complete -c msctl -n "__fish_msctl_using_subcommand config; and not __fish_seen_subcommand_from show schema help" -s h -l help -d 'Print help'
complete -c msctl -n "__fish_msctl_using_subcommand config; and not __fish_seen_subcommand_from show schema help" -f -a "show" -d 'Print the resolved configuration'
complete -c msctl -n "__fish_msctl_using_subcommand config; and not __fish_seen_subcommand_from show schema help" -f -a "schema" -d 'Print the JSON Schema of msctl.yaml'
complete -c msctl -n "__fish_msctl_using_subcommand config; and not __fish_seen_subcommand_from show schema help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c msctl -n "__fish_msctl_using_subcommand config; and __fish_seen_subcommand_from show" -s e -l env -d 'Environment of msctl.yaml, of the user config, or a kubeconfig context' -r
complete -c msctl -n "__fish_msctl_using_subcommand config; and __fish_seen_subcommand_from show" -s n -l namespace -d 'Kubernetes namespace' -r
complete -c msctl -n "__fish_msctl_using_subcommand config; and __fish_seen_subcommand_from show" -l context -d 'Kubeconfig context' -r
complete -c msctl -n "__fish_msctl_using_subcommand config; and __fish_seen_subcommand_from show" -l kubeconfig -d 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config' -r
complete -c msctl -n "__fish_msctl_using_subcommand config; and __fish_seen_subcommand_from show" -s C -l directory -d 'Work as if started in this folder' -r -F
complete -c msctl -n "__fish_msctl_using_subcommand config; and __fish_seen_subcommand_from show" -s o -l output -d 'Format of the answer' -r -f -a "text\t''
json\t''
ndjson\t''"
complete -c msctl -n "__fish_msctl_using_subcommand config; and __fish_seen_subcommand_from show" -l color -d 'When to use colours' -r -f -a "auto\t''
always\t''
never\t''"
complete -c msctl -n "__fish_msctl_using_subcommand config; and __fish_seen_subcommand_from show" -s y -l yes -d 'Agree to every question; `--yes=ENV` also to a protected environment' -r
complete -c msctl -n "__fish_msctl_using_subcommand config; and __fish_seen_subcommand_from show" -s v -l verbose -d 'Say more; twice and thrice for more still'
complete -c msctl -n "__fish_msctl_using_subcommand config; and __fish_seen_subcommand_from show" -s q -l quiet -d 'Say nothing but the answer and errors'
complete -c msctl -n "__fish_msctl_using_subcommand config; and __fish_seen_subcommand_from show" -l no-input -d 'Never prompt: fail and name the flag that answers'
complete -c msctl -n "__fish_msctl_using_subcommand config; and __fish_seen_subcommand_from show" -l origin -d 'Name where each value came from'
complete -c msctl -n "__fish_msctl_using_subcommand config; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help'
complete -c msctl -n "__fish_msctl_using_subcommand config; and __fish_seen_subcommand_from schema" -s e -l env -d 'Environment of msctl.yaml, of the user config, or a kubeconfig context' -r
complete -c msctl -n "__fish_msctl_using_subcommand config; and __fish_seen_subcommand_from schema" -s n -l namespace -d 'Kubernetes namespace' -r
complete -c msctl -n "__fish_msctl_using_subcommand config; and __fish_seen_subcommand_from schema" -l context -d 'Kubeconfig context' -r
complete -c msctl -n "__fish_msctl_using_subcommand config; and __fish_seen_subcommand_from schema" -l kubeconfig -d 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config' -r
complete -c msctl -n "__fish_msctl_using_subcommand config; and __fish_seen_subcommand_from schema" -s C -l directory -d 'Work as if started in this folder' -r -F
complete -c msctl -n "__fish_msctl_using_subcommand config; and __fish_seen_subcommand_from schema" -s o -l output -d 'Format of the answer' -r -f -a "text\t''
json\t''
ndjson\t''"
complete -c msctl -n "__fish_msctl_using_subcommand config; and __fish_seen_subcommand_from schema" -l color -d 'When to use colours' -r -f -a "auto\t''
always\t''
never\t''"
complete -c msctl -n "__fish_msctl_using_subcommand config; and __fish_seen_subcommand_from schema" -s y -l yes -d 'Agree to every question; `--yes=ENV` also to a protected environment' -r
complete -c msctl -n "__fish_msctl_using_subcommand config; and __fish_seen_subcommand_from schema" -s v -l verbose -d 'Say more; twice and thrice for more still'
complete -c msctl -n "__fish_msctl_using_subcommand config; and __fish_seen_subcommand_from schema" -s q -l quiet -d 'Say nothing but the answer and errors'
complete -c msctl -n "__fish_msctl_using_subcommand config; and __fish_seen_subcommand_from schema" -l no-input -d 'Never prompt: fail and name the flag that answers'
complete -c msctl -n "__fish_msctl_using_subcommand config; and __fish_seen_subcommand_from schema" -s h -l help -d 'Print help'
complete -c msctl -n "__fish_msctl_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "show" -d 'Print the resolved configuration'
complete -c msctl -n "__fish_msctl_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "schema" -d 'Print the JSON Schema of msctl.yaml'
complete -c msctl -n "__fish_msctl_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c msctl -n "__fish_msctl_using_subcommand completions" -s e -l env -d 'Environment of msctl.yaml, of the user config, or a kubeconfig context' -r
complete -c msctl -n "__fish_msctl_using_subcommand completions" -s n -l namespace -d 'Kubernetes namespace' -r
complete -c msctl -n "__fish_msctl_using_subcommand completions" -l context -d 'Kubeconfig context' -r
complete -c msctl -n "__fish_msctl_using_subcommand completions" -l kubeconfig -d 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config' -r
complete -c msctl -n "__fish_msctl_using_subcommand completions" -s C -l directory -d 'Work as if started in this folder' -r -F
complete -c msctl -n "__fish_msctl_using_subcommand completions" -s o -l output -d 'Format of the answer' -r -f -a "text\t''
json\t''
ndjson\t''"
complete -c msctl -n "__fish_msctl_using_subcommand completions" -l color -d 'When to use colours' -r -f -a "auto\t''
always\t''
never\t''"
complete -c msctl -n "__fish_msctl_using_subcommand completions" -s y -l yes -d 'Agree to every question; `--yes=ENV` also to a protected environment' -r
complete -c msctl -n "__fish_msctl_using_subcommand completions" -s v -l verbose -d 'Say more; twice and thrice for more still'
complete -c msctl -n "__fish_msctl_using_subcommand completions" -s q -l quiet -d 'Say nothing but the answer and errors'
complete -c msctl -n "__fish_msctl_using_subcommand completions" -l no-input -d 'Never prompt: fail and name the flag that answers'
complete -c msctl -n "__fish_msctl_using_subcommand completions" -s h -l help -d 'Print help'
complete -c msctl -n "__fish_msctl_using_subcommand man" -s e -l env -d 'Environment of msctl.yaml, of the user config, or a kubeconfig context' -r
complete -c msctl -n "__fish_msctl_using_subcommand man" -s n -l namespace -d 'Kubernetes namespace' -r
complete -c msctl -n "__fish_msctl_using_subcommand man" -l context -d 'Kubeconfig context' -r
complete -c msctl -n "__fish_msctl_using_subcommand man" -l kubeconfig -d 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config' -r
complete -c msctl -n "__fish_msctl_using_subcommand man" -s C -l directory -d 'Work as if started in this folder' -r -F
complete -c msctl -n "__fish_msctl_using_subcommand man" -s o -l output -d 'Format of the answer' -r -f -a "text\t''
json\t''
ndjson\t''"
complete -c msctl -n "__fish_msctl_using_subcommand man" -l color -d 'When to use colours' -r -f -a "auto\t''
always\t''
never\t''"
complete -c msctl -n "__fish_msctl_using_subcommand man" -s y -l yes -d 'Agree to every question; `--yes=ENV` also to a protected environment' -r
complete -c msctl -n "__fish_msctl_using_subcommand man" -s v -l verbose -d 'Say more; twice and thrice for more still'
complete -c msctl -n "__fish_msctl_using_subcommand man" -s q -l quiet -d 'Say nothing but the answer and errors'
complete -c msctl -n "__fish_msctl_using_subcommand man" -l no-input -d 'Never prompt: fail and name the flag that answers'
complete -c msctl -n "__fish_msctl_using_subcommand man" -s h -l help -d 'Print help'
complete -c msctl -n "__fish_msctl_using_subcommand help; and not __fish_seen_subcommand_from new template build deploy diff rollout status logs scale migrate delete local adopt demo doctor config completions man help" -f -a "new" -d 'Create a service from a template'
complete -c msctl -n "__fish_msctl_using_subcommand help; and not __fish_seen_subcommand_from new template build deploy diff rollout status logs scale migrate delete local adopt demo doctor config completions man help" -f -a "template" -d 'Look at the templates a service can be created from'
complete -c msctl -n "__fish_msctl_using_subcommand help; and not __fish_seen_subcommand_from new template build deploy diff rollout status logs scale migrate delete local adopt demo doctor config completions man help" -f -a "build" -d 'Build the service\'s image, and push it'
complete -c msctl -n "__fish_msctl_using_subcommand help; and not __fish_seen_subcommand_from new template build deploy diff rollout status logs scale migrate delete local adopt demo doctor config completions man help" -f -a "deploy" -d 'Ship the service: build what changed, apply, roll out, wait'
complete -c msctl -n "__fish_msctl_using_subcommand help; and not __fish_seen_subcommand_from new template build deploy diff rollout status logs scale migrate delete local adopt demo doctor config completions man help" -f -a "diff" -d 'Show what a deploy would change; exit 1 when there are differences'
complete -c msctl -n "__fish_msctl_using_subcommand help; and not __fish_seen_subcommand_from new template build deploy diff rollout status logs scale migrate delete local adopt demo doctor config completions man help" -f -a "rollout" -d 'Steer and follow a rollout'
complete -c msctl -n "__fish_msctl_using_subcommand help; and not __fish_seen_subcommand_from new template build deploy diff rollout status logs scale migrate delete local adopt demo doctor config completions man help" -f -a "status" -d 'Show how the service is'
complete -c msctl -n "__fish_msctl_using_subcommand help; and not __fish_seen_subcommand_from new template build deploy diff rollout status logs scale migrate delete local adopt demo doctor config completions man help" -f -a "logs" -d 'Print the pods\' logs'
complete -c msctl -n "__fish_msctl_using_subcommand help; and not __fish_seen_subcommand_from new template build deploy diff rollout status logs scale migrate delete local adopt demo doctor config completions man help" -f -a "scale" -d 'Set the number of replicas until the next deploy'
complete -c msctl -n "__fish_msctl_using_subcommand help; and not __fish_seen_subcommand_from new template build deploy diff rollout status logs scale migrate delete local adopt demo doctor config completions man help" -f -a "migrate" -d 'Migrate the service\'s database beside a deploy'
complete -c msctl -n "__fish_msctl_using_subcommand help; and not __fish_seen_subcommand_from new template build deploy diff rollout status logs scale migrate delete local adopt demo doctor config completions man help" -f -a "delete" -d 'Remove the service and everything msctl made for it'
complete -c msctl -n "__fish_msctl_using_subcommand help; and not __fish_seen_subcommand_from new template build deploy diff rollout status logs scale migrate delete local adopt demo doctor config completions man help" -f -a "local" -d 'The local platform: processes behind a weighted proxy'
complete -c msctl -n "__fish_msctl_using_subcommand help; and not __fish_seen_subcommand_from new template build deploy diff rollout status logs scale migrate delete local adopt demo doctor config completions man help" -f -a "adopt" -d 'Take an existing Deployment over as the live version, with no restart'
complete -c msctl -n "__fish_msctl_using_subcommand help; and not __fish_seen_subcommand_from new template build deploy diff rollout status logs scale migrate delete local adopt demo doctor config completions man help" -f -a "demo" -d 'A guided tour: create, run, canary, and a bad release refused'
complete -c msctl -n "__fish_msctl_using_subcommand help; and not __fish_seen_subcommand_from new template build deploy diff rollout status logs scale migrate delete local adopt demo doctor config completions man help" -f -a "doctor" -d 'Check what msctl needs on this machine'
complete -c msctl -n "__fish_msctl_using_subcommand help; and not __fish_seen_subcommand_from new template build deploy diff rollout status logs scale migrate delete local adopt demo doctor config completions man help" -f -a "config" -d 'Look at the configuration'
complete -c msctl -n "__fish_msctl_using_subcommand help; and not __fish_seen_subcommand_from new template build deploy diff rollout status logs scale migrate delete local adopt demo doctor config completions man help" -f -a "completions" -d 'Print the completion script of a shell'
complete -c msctl -n "__fish_msctl_using_subcommand help; and not __fish_seen_subcommand_from new template build deploy diff rollout status logs scale migrate delete local adopt demo doctor config completions man help" -f -a "man" -d 'Write the man pages into a folder'
complete -c msctl -n "__fish_msctl_using_subcommand help; and not __fish_seen_subcommand_from new template build deploy diff rollout status logs scale migrate delete local adopt demo doctor config completions man help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c msctl -n "__fish_msctl_using_subcommand help; and __fish_seen_subcommand_from template" -f -a "list" -d 'List the embedded templates'
complete -c msctl -n "__fish_msctl_using_subcommand help; and __fish_seen_subcommand_from template" -f -a "show" -d 'Show a template\'s questions and files'
complete -c msctl -n "__fish_msctl_using_subcommand help; and __fish_seen_subcommand_from template" -f -a "lint" -d 'Check a template for mistakes'
complete -c msctl -n "__fish_msctl_using_subcommand help; and __fish_seen_subcommand_from template" -f -a "schema" -d 'Print the JSON Schema of template.yaml'
complete -c msctl -n "__fish_msctl_using_subcommand help; and __fish_seen_subcommand_from rollout" -f -a "status" -d 'Show the rollout\'s state'
complete -c msctl -n "__fish_msctl_using_subcommand help; and __fish_seen_subcommand_from rollout" -f -a "watch" -d 'Follow the rollout until it ends or waits'
complete -c msctl -n "__fish_msctl_using_subcommand help; and __fish_seen_subcommand_from rollout" -f -a "promote" -d 'End the pause, or skip a step; `--full` skips all steps and analysis'
complete -c msctl -n "__fish_msctl_using_subcommand help; and __fish_seen_subcommand_from rollout" -f -a "pause" -d 'Hold the rollout where it is'
complete -c msctl -n "__fish_msctl_using_subcommand help; and __fish_seen_subcommand_from rollout" -f -a "resume" -d 'Go on after `pause`'
complete -c msctl -n "__fish_msctl_using_subcommand help; and __fish_seen_subcommand_from rollout" -f -a "abort" -d 'Take the traffic back from the candidate'
complete -c msctl -n "__fish_msctl_using_subcommand help; and __fish_seen_subcommand_from rollout" -f -a "retry" -d 'Start an aborted rollout again'
complete -c msctl -n "__fish_msctl_using_subcommand help; and __fish_seen_subcommand_from rollout" -f -a "undo" -d 'Return to the last revision that was live, or to `--to N`'
complete -c msctl -n "__fish_msctl_using_subcommand help; and __fish_seen_subcommand_from rollout" -f -a "history" -d 'List the deploys and their revisions'
complete -c msctl -n "__fish_msctl_using_subcommand help; and __fish_seen_subcommand_from rollout" -f -a "rehearse" -d 'Try the rollout on this machine, with a version that goes wrong: do the gates see it?'
complete -c msctl -n "__fish_msctl_using_subcommand help; and __fish_seen_subcommand_from rollout" -f -a "judge" -d 'Judge past deploys again, by other thresholds'
complete -c msctl -n "__fish_msctl_using_subcommand help; and __fish_seen_subcommand_from rollout" -f -a "report" -d 'Write a deploy\'s report: one HTML file that needs nothing else'
complete -c msctl -n "__fish_msctl_using_subcommand help; and __fish_seen_subcommand_from rollout" -f -a "restart" -d 'Replace the live pods one by one, with the same version'
complete -c msctl -n "__fish_msctl_using_subcommand help; and __fish_seen_subcommand_from rollout" -f -a "attach" -d 'Drive a rollout whose driver is gone'
complete -c msctl -n "__fish_msctl_using_subcommand help; and __fish_seen_subcommand_from rollout" -f -a "rbac" -d 'Print the account and rights that a driver in the cluster needs, for `kubectl apply -f -`'
complete -c msctl -n "__fish_msctl_using_subcommand help; and __fish_seen_subcommand_from migrate" -f -a "contract" -d 'Take away what only revisions before the live one need: none of them can come back'
complete -c msctl -n "__fish_msctl_using_subcommand help; and __fish_seen_subcommand_from local" -f -a "status" -d 'Show the agent and the services it runs'
complete -c msctl -n "__fish_msctl_using_subcommand help; and __fish_seen_subcommand_from local" -f -a "down" -d 'Stop every local service and the agent, and leave nothing behind'
complete -c msctl -n "__fish_msctl_using_subcommand help; and __fish_seen_subcommand_from config" -f -a "show" -d 'Print the resolved configuration'
complete -c msctl -n "__fish_msctl_using_subcommand help; and __fish_seen_subcommand_from config" -f -a "schema" -d 'Print the JSON Schema of msctl.yaml'
