
use builtin;
use str;

set edit:completion:arg-completer[msctl] = {|@words|
    fn spaces {|n|
        builtin:repeat $n ' ' | str:join ''
    }
    fn cand {|text desc|
        edit:complex-candidate $text &display=$text' '(spaces (- 14 (wcswidth $text)))$desc
    }
    var command = 'msctl'
    for word $words[1..-1] {
        if (str:has-prefix $word '-') {
            break
        }
        set command = $command';'$word
    }
    var completions = [
        &'msctl'= {
            cand -e 'Environment of msctl.yaml, of the user config, or a kubeconfig context'
            cand --env 'Environment of msctl.yaml, of the user config, or a kubeconfig context'
            cand -n 'Kubernetes namespace'
            cand --namespace 'Kubernetes namespace'
            cand --context 'Kubeconfig context'
            cand --kubeconfig 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config'
            cand -C 'Work as if started in this folder'
            cand --directory 'Work as if started in this folder'
            cand -o 'Format of the answer'
            cand --output 'Format of the answer'
            cand --color 'When to use colours'
            cand -y 'Agree to every question; `--yes=ENV` also to a protected environment'
            cand --yes 'Agree to every question; `--yes=ENV` also to a protected environment'
            cand -v 'Say more; twice and thrice for more still'
            cand --verbose 'Say more; twice and thrice for more still'
            cand -q 'Say nothing but the answer and errors'
            cand --quiet 'Say nothing but the answer and errors'
            cand --no-input 'Never prompt: fail and name the flag that answers'
            cand -h 'Print help'
            cand --help 'Print help'
            cand -V 'Print version'
            cand --version 'Print version'
            cand new 'Create a service from a template'
            cand template 'Look at the templates a service can be created from'
            cand build 'Build the service''s image, and push it'
            cand deploy 'Ship the service: build what changed, apply, roll out, wait'
            cand diff 'Show what a deploy would change; exit 1 when there are differences'
            cand rollout 'Steer and follow a rollout'
            cand status 'Show how the service is'
            cand logs 'Print the pods'' logs'
            cand scale 'Set the number of replicas until the next deploy'
            cand migrate 'Migrate the service''s database beside a deploy'
            cand delete 'Remove the service and everything msctl made for it'
            cand local 'The local platform: processes behind a weighted proxy'
            cand adopt 'Take an existing Deployment over as the live version, with no restart'
            cand demo 'A guided tour: create, run, canary, and a bad release refused'
            cand doctor 'Check what msctl needs on this machine'
            cand config 'Look at the configuration'
            cand completions 'Print the completion script of a shell'
            cand man 'Write the man pages into a folder'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'msctl;new'= {
            cand -e 'Environment of msctl.yaml, of the user config, or a kubeconfig context'
            cand --env 'Environment of msctl.yaml, of the user config, or a kubeconfig context'
            cand -n 'Kubernetes namespace'
            cand --namespace 'Kubernetes namespace'
            cand --context 'Kubeconfig context'
            cand --kubeconfig 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config'
            cand -C 'Work as if started in this folder'
            cand --directory 'Work as if started in this folder'
            cand -o 'Format of the answer'
            cand --output 'Format of the answer'
            cand --color 'When to use colours'
            cand -y 'Agree to every question; `--yes=ENV` also to a protected environment'
            cand --yes 'Agree to every question; `--yes=ENV` also to a protected environment'
            cand -t 'Embedded template, folder, or git-url[//subfolder][@ref]'
            cand --template 'Embedded template, folder, or git-url[//subfolder][@ref]'
            cand --set 'Answer a question of the template (may repeat)'
            cand --answers 'YAML file of answers'
            cand --into 'Folder to create the service''s folder in'
            cand -v 'Say more; twice and thrice for more still'
            cand --verbose 'Say more; twice and thrice for more still'
            cand -q 'Say nothing but the answer and errors'
            cand --quiet 'Say nothing but the answer and errors'
            cand --no-input 'Never prompt: fail and name the flag that answers'
            cand --defaults 'Take the default of everything not answered'
            cand --dry-run 'Show what would be written, write nothing'
            cand --no-git 'Do not make a git repository'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'msctl;template'= {
            cand -e 'Environment of msctl.yaml, of the user config, or a kubeconfig context'
            cand --env 'Environment of msctl.yaml, of the user config, or a kubeconfig context'
            cand -n 'Kubernetes namespace'
            cand --namespace 'Kubernetes namespace'
            cand --context 'Kubeconfig context'
            cand --kubeconfig 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config'
            cand -C 'Work as if started in this folder'
            cand --directory 'Work as if started in this folder'
            cand -o 'Format of the answer'
            cand --output 'Format of the answer'
            cand --color 'When to use colours'
            cand -y 'Agree to every question; `--yes=ENV` also to a protected environment'
            cand --yes 'Agree to every question; `--yes=ENV` also to a protected environment'
            cand -v 'Say more; twice and thrice for more still'
            cand --verbose 'Say more; twice and thrice for more still'
            cand -q 'Say nothing but the answer and errors'
            cand --quiet 'Say nothing but the answer and errors'
            cand --no-input 'Never prompt: fail and name the flag that answers'
            cand -h 'Print help'
            cand --help 'Print help'
            cand list 'List the embedded templates'
            cand show 'Show a template''s questions and files'
            cand lint 'Check a template for mistakes'
            cand schema 'Print the JSON Schema of template.yaml'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'msctl;template;list'= {
            cand -e 'Environment of msctl.yaml, of the user config, or a kubeconfig context'
            cand --env 'Environment of msctl.yaml, of the user config, or a kubeconfig context'
            cand -n 'Kubernetes namespace'
            cand --namespace 'Kubernetes namespace'
            cand --context 'Kubeconfig context'
            cand --kubeconfig 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config'
            cand -C 'Work as if started in this folder'
            cand --directory 'Work as if started in this folder'
            cand -o 'Format of the answer'
            cand --output 'Format of the answer'
            cand --color 'When to use colours'
            cand -y 'Agree to every question; `--yes=ENV` also to a protected environment'
            cand --yes 'Agree to every question; `--yes=ENV` also to a protected environment'
            cand -v 'Say more; twice and thrice for more still'
            cand --verbose 'Say more; twice and thrice for more still'
            cand -q 'Say nothing but the answer and errors'
            cand --quiet 'Say nothing but the answer and errors'
            cand --no-input 'Never prompt: fail and name the flag that answers'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'msctl;template;show'= {
            cand -e 'Environment of msctl.yaml, of the user config, or a kubeconfig context'
            cand --env 'Environment of msctl.yaml, of the user config, or a kubeconfig context'
            cand -n 'Kubernetes namespace'
            cand --namespace 'Kubernetes namespace'
            cand --context 'Kubeconfig context'
            cand --kubeconfig 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config'
            cand -C 'Work as if started in this folder'
            cand --directory 'Work as if started in this folder'
            cand -o 'Format of the answer'
            cand --output 'Format of the answer'
            cand --color 'When to use colours'
            cand -y 'Agree to every question; `--yes=ENV` also to a protected environment'
            cand --yes 'Agree to every question; `--yes=ENV` also to a protected environment'
            cand -v 'Say more; twice and thrice for more still'
            cand --verbose 'Say more; twice and thrice for more still'
            cand -q 'Say nothing but the answer and errors'
            cand --quiet 'Say nothing but the answer and errors'
            cand --no-input 'Never prompt: fail and name the flag that answers'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'msctl;template;lint'= {
            cand -e 'Environment of msctl.yaml, of the user config, or a kubeconfig context'
            cand --env 'Environment of msctl.yaml, of the user config, or a kubeconfig context'
            cand -n 'Kubernetes namespace'
            cand --namespace 'Kubernetes namespace'
            cand --context 'Kubeconfig context'
            cand --kubeconfig 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config'
            cand -C 'Work as if started in this folder'
            cand --directory 'Work as if started in this folder'
            cand -o 'Format of the answer'
            cand --output 'Format of the answer'
            cand --color 'When to use colours'
            cand -y 'Agree to every question; `--yes=ENV` also to a protected environment'
            cand --yes 'Agree to every question; `--yes=ENV` also to a protected environment'
            cand -v 'Say more; twice and thrice for more still'
            cand --verbose 'Say more; twice and thrice for more still'
            cand -q 'Say nothing but the answer and errors'
            cand --quiet 'Say nothing but the answer and errors'
            cand --no-input 'Never prompt: fail and name the flag that answers'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'msctl;template;schema'= {
            cand -e 'Environment of msctl.yaml, of the user config, or a kubeconfig context'
            cand --env 'Environment of msctl.yaml, of the user config, or a kubeconfig context'
            cand -n 'Kubernetes namespace'
            cand --namespace 'Kubernetes namespace'
            cand --context 'Kubeconfig context'
            cand --kubeconfig 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config'
            cand -C 'Work as if started in this folder'
            cand --directory 'Work as if started in this folder'
            cand -o 'Format of the answer'
            cand --output 'Format of the answer'
            cand --color 'When to use colours'
            cand -y 'Agree to every question; `--yes=ENV` also to a protected environment'
            cand --yes 'Agree to every question; `--yes=ENV` also to a protected environment'
            cand -v 'Say more; twice and thrice for more still'
            cand --verbose 'Say more; twice and thrice for more still'
            cand -q 'Say nothing but the answer and errors'
            cand --quiet 'Say nothing but the answer and errors'
            cand --no-input 'Never prompt: fail and name the flag that answers'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'msctl;template;help'= {
            cand list 'List the embedded templates'
            cand show 'Show a template''s questions and files'
            cand lint 'Check a template for mistakes'
            cand schema 'Print the JSON Schema of template.yaml'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'msctl;template;help;list'= {
        }
        &'msctl;template;help;show'= {
        }
        &'msctl;template;help;lint'= {
        }
        &'msctl;template;help;schema'= {
        }
        &'msctl;template;help;help'= {
        }
        &'msctl;build'= {
            cand -e 'Environment of msctl.yaml, of the user config, or a kubeconfig context'
            cand --env 'Environment of msctl.yaml, of the user config, or a kubeconfig context'
            cand -n 'Kubernetes namespace'
            cand --namespace 'Kubernetes namespace'
            cand --context 'Kubeconfig context'
            cand --kubeconfig 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config'
            cand -C 'Work as if started in this folder'
            cand --directory 'Work as if started in this folder'
            cand -o 'Format of the answer'
            cand --output 'Format of the answer'
            cand --color 'When to use colours'
            cand -y 'Agree to every question; `--yes=ENV` also to a protected environment'
            cand --yes 'Agree to every question; `--yes=ENV` also to a protected environment'
            cand --tag 'Tag in place of the one computed from git (may repeat)'
            cand --platform 'Platform such as linux/arm64'
            cand --build-arg 'Build argument (may repeat)'
            cand --cache-from 'Images to take cached layers from'
            cand --target 'Stage of the Dockerfile to build'
            cand --secret 'For RUN --mount=type=secret: id=NAME,src=FILE or id=NAME,env=VARIABLE (may repeat)'
            cand -v 'Say more; twice and thrice for more still'
            cand --verbose 'Say more; twice and thrice for more still'
            cand -q 'Say nothing but the answer and errors'
            cand --quiet 'Say nothing but the answer and errors'
            cand --no-input 'Never prompt: fail and name the flag that answers'
            cand --push 'Push the image and verify its digest at the registry'
            cand --pin 'First write the digests that the base images have now into the Dockerfile'
            cand --no-cache 'Build every step anew'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'msctl;deploy'= {
            cand -e 'Environment of msctl.yaml, of the user config, or a kubeconfig context'
            cand --env 'Environment of msctl.yaml, of the user config, or a kubeconfig context'
            cand -n 'Kubernetes namespace'
            cand --namespace 'Kubernetes namespace'
            cand --context 'Kubeconfig context'
            cand --kubeconfig 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config'
            cand -C 'Work as if started in this folder'
            cand --directory 'Work as if started in this folder'
            cand -o 'Format of the answer'
            cand --output 'Format of the answer'
            cand --color 'When to use colours'
            cand -y 'Agree to every question; `--yes=ENV` also to a protected environment'
            cand --yes 'Agree to every question; `--yes=ENV` also to a protected environment'
            cand --image 'Deploy this image in place of building one'
            cand --steps 'Canary weights in percent, such as 10,25,50'
            cand --pause 'Pause after every weight below 100, such as 2m'
            cand --until 'Return at healthy (default), paused, available, step=N or weight=N'
            cand --timeout 'Give up after this long, such as 10m'
            cand --rollback-timeout 'How long a rollback may take'
            cand --lock-wait 'Wait this long for another deploy to finish'
            cand --envs 'Deploy to these environments in place of one; with --train together'
            cand --driver-image 'Image of msctl for that Job, in place of `driverImage` of msctl.yaml or the user config'
            cand -v 'Say more; twice and thrice for more still'
            cand --verbose 'Say more; twice and thrice for more still'
            cand -q 'Say nothing but the answer and errors'
            cand --quiet 'Say nothing but the answer and errors'
            cand --no-input 'Never prompt: fail and name the flag that answers'
            cand --rolling 'Update in place'
            cand --canary 'Move traffic in steps'
            cand --blue-green 'Switch at once, after a preview'
            cand --ab 'Send a cohort to the new version until promoted (rollout.ab)'
            cand --mirror 'Send copies of requests to the new version until promoted (rollout.mirror)'
            cand --no-rollback 'Leave a failed version in place'
            cand --proceed 'Roll out although the live version is broken'
            cand --train 'All services wait for each other before they take over, and go back together when one is refused'
            cand --attended 'Stay and drive, where a protected environment asks for --detach'
            cand --plan 'Print the plan, write nothing'
            cand --detach 'Leave the driving to a Job in the cluster, and return'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'msctl;diff'= {
            cand -e 'Environment of msctl.yaml, of the user config, or a kubeconfig context'
            cand --env 'Environment of msctl.yaml, of the user config, or a kubeconfig context'
            cand -n 'Kubernetes namespace'
            cand --namespace 'Kubernetes namespace'
            cand --context 'Kubeconfig context'
            cand --kubeconfig 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config'
            cand -C 'Work as if started in this folder'
            cand --directory 'Work as if started in this folder'
            cand -o 'Format of the answer'
            cand --output 'Format of the answer'
            cand --color 'When to use colours'
            cand -y 'Agree to every question; `--yes=ENV` also to a protected environment'
            cand --yes 'Agree to every question; `--yes=ENV` also to a protected environment'
            cand --image 'Compare with this image in place of the built one'
            cand -v 'Say more; twice and thrice for more still'
            cand --verbose 'Say more; twice and thrice for more still'
            cand -q 'Say nothing but the answer and errors'
            cand --quiet 'Say nothing but the answer and errors'
            cand --no-input 'Never prompt: fail and name the flag that answers'
            cand --owned 'List the fields that rollouts set, for tools that apply the same objects'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'msctl;rollout'= {
            cand -e 'Environment of msctl.yaml, of the user config, or a kubeconfig context'
            cand --env 'Environment of msctl.yaml, of the user config, or a kubeconfig context'
            cand -n 'Kubernetes namespace'
            cand --namespace 'Kubernetes namespace'
            cand --context 'Kubeconfig context'
            cand --kubeconfig 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config'
            cand -C 'Work as if started in this folder'
            cand --directory 'Work as if started in this folder'
            cand -o 'Format of the answer'
            cand --output 'Format of the answer'
            cand --color 'When to use colours'
            cand -y 'Agree to every question; `--yes=ENV` also to a protected environment'
            cand --yes 'Agree to every question; `--yes=ENV` also to a protected environment'
            cand -v 'Say more; twice and thrice for more still'
            cand --verbose 'Say more; twice and thrice for more still'
            cand -q 'Say nothing but the answer and errors'
            cand --quiet 'Say nothing but the answer and errors'
            cand --no-input 'Never prompt: fail and name the flag that answers'
            cand -h 'Print help'
            cand --help 'Print help'
            cand status 'Show the rollout''s state'
            cand watch 'Follow the rollout until it ends or waits'
            cand promote 'End the pause, or skip a step; `--full` skips all steps and analysis'
            cand pause 'Hold the rollout where it is'
            cand resume 'Go on after `pause`'
            cand abort 'Take the traffic back from the candidate'
            cand retry 'Start an aborted rollout again'
            cand undo 'Return to the last revision that was live, or to `--to N`'
            cand history 'List the deploys and their revisions'
            cand judge 'Judge past deploys again, by other thresholds'
            cand report 'Write a deploy''s report: one HTML file that needs nothing else'
            cand restart 'Replace the live pods one by one, with the same version'
            cand attach 'Drive a rollout whose driver is gone'
            cand rbac 'Print the account and rights that a driver in the cluster needs, for `kubectl apply -f -`'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'msctl;rollout;status'= {
            cand -e 'Environment of msctl.yaml, of the user config, or a kubeconfig context'
            cand --env 'Environment of msctl.yaml, of the user config, or a kubeconfig context'
            cand -n 'Kubernetes namespace'
            cand --namespace 'Kubernetes namespace'
            cand --context 'Kubeconfig context'
            cand --kubeconfig 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config'
            cand -C 'Work as if started in this folder'
            cand --directory 'Work as if started in this folder'
            cand -o 'Format of the answer'
            cand --output 'Format of the answer'
            cand --color 'When to use colours'
            cand -y 'Agree to every question; `--yes=ENV` also to a protected environment'
            cand --yes 'Agree to every question; `--yes=ENV` also to a protected environment'
            cand -v 'Say more; twice and thrice for more still'
            cand --verbose 'Say more; twice and thrice for more still'
            cand -q 'Say nothing but the answer and errors'
            cand --quiet 'Say nothing but the answer and errors'
            cand --no-input 'Never prompt: fail and name the flag that answers'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'msctl;rollout;watch'= {
            cand -e 'Environment of msctl.yaml, of the user config, or a kubeconfig context'
            cand --env 'Environment of msctl.yaml, of the user config, or a kubeconfig context'
            cand -n 'Kubernetes namespace'
            cand --namespace 'Kubernetes namespace'
            cand --context 'Kubeconfig context'
            cand --kubeconfig 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config'
            cand -C 'Work as if started in this folder'
            cand --directory 'Work as if started in this folder'
            cand -o 'Format of the answer'
            cand --output 'Format of the answer'
            cand --color 'When to use colours'
            cand -y 'Agree to every question; `--yes=ENV` also to a protected environment'
            cand --yes 'Agree to every question; `--yes=ENV` also to a protected environment'
            cand -v 'Say more; twice and thrice for more still'
            cand --verbose 'Say more; twice and thrice for more still'
            cand -q 'Say nothing but the answer and errors'
            cand --quiet 'Say nothing but the answer and errors'
            cand --no-input 'Never prompt: fail and name the flag that answers'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'msctl;rollout;promote'= {
            cand -e 'Environment of msctl.yaml, of the user config, or a kubeconfig context'
            cand --env 'Environment of msctl.yaml, of the user config, or a kubeconfig context'
            cand -n 'Kubernetes namespace'
            cand --namespace 'Kubernetes namespace'
            cand --context 'Kubeconfig context'
            cand --kubeconfig 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config'
            cand -C 'Work as if started in this folder'
            cand --directory 'Work as if started in this folder'
            cand -o 'Format of the answer'
            cand --output 'Format of the answer'
            cand --color 'When to use colours'
            cand -y 'Agree to every question; `--yes=ENV` also to a protected environment'
            cand --yes 'Agree to every question; `--yes=ENV` also to a protected environment'
            cand -v 'Say more; twice and thrice for more still'
            cand --verbose 'Say more; twice and thrice for more still'
            cand -q 'Say nothing but the answer and errors'
            cand --quiet 'Say nothing but the answer and errors'
            cand --no-input 'Never prompt: fail and name the flag that answers'
            cand --full 'Skip all remaining steps and analysis'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'msctl;rollout;pause'= {
            cand -e 'Environment of msctl.yaml, of the user config, or a kubeconfig context'
            cand --env 'Environment of msctl.yaml, of the user config, or a kubeconfig context'
            cand -n 'Kubernetes namespace'
            cand --namespace 'Kubernetes namespace'
            cand --context 'Kubeconfig context'
            cand --kubeconfig 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config'
            cand -C 'Work as if started in this folder'
            cand --directory 'Work as if started in this folder'
            cand -o 'Format of the answer'
            cand --output 'Format of the answer'
            cand --color 'When to use colours'
            cand -y 'Agree to every question; `--yes=ENV` also to a protected environment'
            cand --yes 'Agree to every question; `--yes=ENV` also to a protected environment'
            cand -v 'Say more; twice and thrice for more still'
            cand --verbose 'Say more; twice and thrice for more still'
            cand -q 'Say nothing but the answer and errors'
            cand --quiet 'Say nothing but the answer and errors'
            cand --no-input 'Never prompt: fail and name the flag that answers'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'msctl;rollout;resume'= {
            cand -e 'Environment of msctl.yaml, of the user config, or a kubeconfig context'
            cand --env 'Environment of msctl.yaml, of the user config, or a kubeconfig context'
            cand -n 'Kubernetes namespace'
            cand --namespace 'Kubernetes namespace'
            cand --context 'Kubeconfig context'
            cand --kubeconfig 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config'
            cand -C 'Work as if started in this folder'
            cand --directory 'Work as if started in this folder'
            cand -o 'Format of the answer'
            cand --output 'Format of the answer'
            cand --color 'When to use colours'
            cand -y 'Agree to every question; `--yes=ENV` also to a protected environment'
            cand --yes 'Agree to every question; `--yes=ENV` also to a protected environment'
            cand -v 'Say more; twice and thrice for more still'
            cand --verbose 'Say more; twice and thrice for more still'
            cand -q 'Say nothing but the answer and errors'
            cand --quiet 'Say nothing but the answer and errors'
            cand --no-input 'Never prompt: fail and name the flag that answers'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'msctl;rollout;abort'= {
            cand -e 'Environment of msctl.yaml, of the user config, or a kubeconfig context'
            cand --env 'Environment of msctl.yaml, of the user config, or a kubeconfig context'
            cand -n 'Kubernetes namespace'
            cand --namespace 'Kubernetes namespace'
            cand --context 'Kubeconfig context'
            cand --kubeconfig 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config'
            cand -C 'Work as if started in this folder'
            cand --directory 'Work as if started in this folder'
            cand -o 'Format of the answer'
            cand --output 'Format of the answer'
            cand --color 'When to use colours'
            cand -y 'Agree to every question; `--yes=ENV` also to a protected environment'
            cand --yes 'Agree to every question; `--yes=ENV` also to a protected environment'
            cand -v 'Say more; twice and thrice for more still'
            cand --verbose 'Say more; twice and thrice for more still'
            cand -q 'Say nothing but the answer and errors'
            cand --quiet 'Say nothing but the answer and errors'
            cand --no-input 'Never prompt: fail and name the flag that answers'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'msctl;rollout;retry'= {
            cand -e 'Environment of msctl.yaml, of the user config, or a kubeconfig context'
            cand --env 'Environment of msctl.yaml, of the user config, or a kubeconfig context'
            cand -n 'Kubernetes namespace'
            cand --namespace 'Kubernetes namespace'
            cand --context 'Kubeconfig context'
            cand --kubeconfig 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config'
            cand -C 'Work as if started in this folder'
            cand --directory 'Work as if started in this folder'
            cand -o 'Format of the answer'
            cand --output 'Format of the answer'
            cand --color 'When to use colours'
            cand -y 'Agree to every question; `--yes=ENV` also to a protected environment'
            cand --yes 'Agree to every question; `--yes=ENV` also to a protected environment'
            cand -v 'Say more; twice and thrice for more still'
            cand --verbose 'Say more; twice and thrice for more still'
            cand -q 'Say nothing but the answer and errors'
            cand --quiet 'Say nothing but the answer and errors'
            cand --no-input 'Never prompt: fail and name the flag that answers'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'msctl;rollout;undo'= {
            cand -e 'Environment of msctl.yaml, of the user config, or a kubeconfig context'
            cand --env 'Environment of msctl.yaml, of the user config, or a kubeconfig context'
            cand -n 'Kubernetes namespace'
            cand --namespace 'Kubernetes namespace'
            cand --context 'Kubeconfig context'
            cand --kubeconfig 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config'
            cand -C 'Work as if started in this folder'
            cand --directory 'Work as if started in this folder'
            cand -o 'Format of the answer'
            cand --output 'Format of the answer'
            cand --color 'When to use colours'
            cand -y 'Agree to every question; `--yes=ENV` also to a protected environment'
            cand --yes 'Agree to every question; `--yes=ENV` also to a protected environment'
            cand --to 'Revision to return to'
            cand -v 'Say more; twice and thrice for more still'
            cand --verbose 'Say more; twice and thrice for more still'
            cand -q 'Say nothing but the answer and errors'
            cand --quiet 'Say nothing but the answer and errors'
            cand --no-input 'Never prompt: fail and name the flag that answers'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'msctl;rollout;history'= {
            cand -e 'Environment of msctl.yaml, of the user config, or a kubeconfig context'
            cand --env 'Environment of msctl.yaml, of the user config, or a kubeconfig context'
            cand -n 'Kubernetes namespace'
            cand --namespace 'Kubernetes namespace'
            cand --context 'Kubeconfig context'
            cand --kubeconfig 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config'
            cand -C 'Work as if started in this folder'
            cand --directory 'Work as if started in this folder'
            cand -o 'Format of the answer'
            cand --output 'Format of the answer'
            cand --color 'When to use colours'
            cand -y 'Agree to every question; `--yes=ENV` also to a protected environment'
            cand --yes 'Agree to every question; `--yes=ENV` also to a protected environment'
            cand -v 'Say more; twice and thrice for more still'
            cand --verbose 'Say more; twice and thrice for more still'
            cand -q 'Say nothing but the answer and errors'
            cand --quiet 'Say nothing but the answer and errors'
            cand --no-input 'Never prompt: fail and name the flag that answers'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'msctl;rollout;judge'= {
            cand -e 'Environment of msctl.yaml, of the user config, or a kubeconfig context'
            cand --env 'Environment of msctl.yaml, of the user config, or a kubeconfig context'
            cand -n 'Kubernetes namespace'
            cand --namespace 'Kubernetes namespace'
            cand --context 'Kubeconfig context'
            cand --kubeconfig 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config'
            cand -C 'Work as if started in this folder'
            cand --directory 'Work as if started in this folder'
            cand -o 'Format of the answer'
            cand --output 'Format of the answer'
            cand --color 'When to use colours'
            cand -y 'Agree to every question; `--yes=ENV` also to a protected environment'
            cand --yes 'Agree to every question; `--yes=ENV` also to a protected environment'
            cand --metric 'Threshold in place of msctl.yaml''s, such as errors:max=2%,minSamples=100 (may repeat)'
            cand -v 'Say more; twice and thrice for more still'
            cand --verbose 'Say more; twice and thrice for more still'
            cand -q 'Say nothing but the answer and errors'
            cand --quiet 'Say nothing but the answer and errors'
            cand --no-input 'Never prompt: fail and name the flag that answers'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'msctl;rollout;report'= {
            cand -e 'Environment of msctl.yaml, of the user config, or a kubeconfig context'
            cand --env 'Environment of msctl.yaml, of the user config, or a kubeconfig context'
            cand -n 'Kubernetes namespace'
            cand --namespace 'Kubernetes namespace'
            cand --context 'Kubeconfig context'
            cand --kubeconfig 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config'
            cand -C 'Work as if started in this folder'
            cand --directory 'Work as if started in this folder'
            cand -o 'Format of the answer'
            cand --output 'Format of the answer'
            cand --color 'When to use colours'
            cand -y 'Agree to every question; `--yes=ENV` also to a protected environment'
            cand --yes 'Agree to every question; `--yes=ENV` also to a protected environment'
            cand --out 'File to write, `-` for stdout; SERVICE-deploy-N.html when not given'
            cand -v 'Say more; twice and thrice for more still'
            cand --verbose 'Say more; twice and thrice for more still'
            cand -q 'Say nothing but the answer and errors'
            cand --quiet 'Say nothing but the answer and errors'
            cand --no-input 'Never prompt: fail and name the flag that answers'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'msctl;rollout;restart'= {
            cand -e 'Environment of msctl.yaml, of the user config, or a kubeconfig context'
            cand --env 'Environment of msctl.yaml, of the user config, or a kubeconfig context'
            cand -n 'Kubernetes namespace'
            cand --namespace 'Kubernetes namespace'
            cand --context 'Kubeconfig context'
            cand --kubeconfig 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config'
            cand -C 'Work as if started in this folder'
            cand --directory 'Work as if started in this folder'
            cand -o 'Format of the answer'
            cand --output 'Format of the answer'
            cand --color 'When to use colours'
            cand -y 'Agree to every question; `--yes=ENV` also to a protected environment'
            cand --yes 'Agree to every question; `--yes=ENV` also to a protected environment'
            cand -v 'Say more; twice and thrice for more still'
            cand --verbose 'Say more; twice and thrice for more still'
            cand -q 'Say nothing but the answer and errors'
            cand --quiet 'Say nothing but the answer and errors'
            cand --no-input 'Never prompt: fail and name the flag that answers'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'msctl;rollout;attach'= {
            cand -e 'Environment of msctl.yaml, of the user config, or a kubeconfig context'
            cand --env 'Environment of msctl.yaml, of the user config, or a kubeconfig context'
            cand -n 'Kubernetes namespace'
            cand --namespace 'Kubernetes namespace'
            cand --context 'Kubeconfig context'
            cand --kubeconfig 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config'
            cand -C 'Work as if started in this folder'
            cand --directory 'Work as if started in this folder'
            cand -o 'Format of the answer'
            cand --output 'Format of the answer'
            cand --color 'When to use colours'
            cand -y 'Agree to every question; `--yes=ENV` also to a protected environment'
            cand --yes 'Agree to every question; `--yes=ENV` also to a protected environment'
            cand --driver-image 'Image of msctl for that Job, in place of `driverImage` of msctl.yaml or the user config'
            cand -v 'Say more; twice and thrice for more still'
            cand --verbose 'Say more; twice and thrice for more still'
            cand -q 'Say nothing but the answer and errors'
            cand --quiet 'Say nothing but the answer and errors'
            cand --no-input 'Never prompt: fail and name the flag that answers'
            cand --once 'Do what is due, then return'
            cand --detach 'Leave the driving to a Job in the cluster, and return'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'msctl;rollout;rbac'= {
            cand -e 'Environment of msctl.yaml, of the user config, or a kubeconfig context'
            cand --env 'Environment of msctl.yaml, of the user config, or a kubeconfig context'
            cand -n 'Kubernetes namespace'
            cand --namespace 'Kubernetes namespace'
            cand --context 'Kubeconfig context'
            cand --kubeconfig 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config'
            cand -C 'Work as if started in this folder'
            cand --directory 'Work as if started in this folder'
            cand -o 'Format of the answer'
            cand --output 'Format of the answer'
            cand --color 'When to use colours'
            cand -y 'Agree to every question; `--yes=ENV` also to a protected environment'
            cand --yes 'Agree to every question; `--yes=ENV` also to a protected environment'
            cand -v 'Say more; twice and thrice for more still'
            cand --verbose 'Say more; twice and thrice for more still'
            cand -q 'Say nothing but the answer and errors'
            cand --quiet 'Say nothing but the answer and errors'
            cand --no-input 'Never prompt: fail and name the flag that answers'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'msctl;rollout;help'= {
            cand status 'Show the rollout''s state'
            cand watch 'Follow the rollout until it ends or waits'
            cand promote 'End the pause, or skip a step; `--full` skips all steps and analysis'
            cand pause 'Hold the rollout where it is'
            cand resume 'Go on after `pause`'
            cand abort 'Take the traffic back from the candidate'
            cand retry 'Start an aborted rollout again'
            cand undo 'Return to the last revision that was live, or to `--to N`'
            cand history 'List the deploys and their revisions'
            cand judge 'Judge past deploys again, by other thresholds'
            cand report 'Write a deploy''s report: one HTML file that needs nothing else'
            cand restart 'Replace the live pods one by one, with the same version'
            cand attach 'Drive a rollout whose driver is gone'
            cand rbac 'Print the account and rights that a driver in the cluster needs, for `kubectl apply -f -`'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'msctl;rollout;help;status'= {
        }
        &'msctl;rollout;help;watch'= {
        }
        &'msctl;rollout;help;promote'= {
        }
        &'msctl;rollout;help;pause'= {
        }
        &'msctl;rollout;help;resume'= {
        }
        &'msctl;rollout;help;abort'= {
        }
        &'msctl;rollout;help;retry'= {
        }
        &'msctl;rollout;help;undo'= {
        }
        &'msctl;rollout;help;history'= {
        }
        &'msctl;rollout;help;judge'= {
        }
        &'msctl;rollout;help;report'= {
        }
        &'msctl;rollout;help;restart'= {
        }
        &'msctl;rollout;help;attach'= {
        }
        &'msctl;rollout;help;rbac'= {
        }
        &'msctl;rollout;help;help'= {
        }
        &'msctl;status'= {
            cand -e 'Environment of msctl.yaml, of the user config, or a kubeconfig context'
            cand --env 'Environment of msctl.yaml, of the user config, or a kubeconfig context'
            cand -n 'Kubernetes namespace'
            cand --namespace 'Kubernetes namespace'
            cand --context 'Kubeconfig context'
            cand --kubeconfig 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config'
            cand -C 'Work as if started in this folder'
            cand --directory 'Work as if started in this folder'
            cand -o 'Format of the answer'
            cand --output 'Format of the answer'
            cand --color 'When to use colours'
            cand -y 'Agree to every question; `--yes=ENV` also to a protected environment'
            cand --yes 'Agree to every question; `--yes=ENV` also to a protected environment'
            cand -v 'Say more; twice and thrice for more still'
            cand --verbose 'Say more; twice and thrice for more still'
            cand -q 'Say nothing but the answer and errors'
            cand --quiet 'Say nothing but the answer and errors'
            cand --no-input 'Never prompt: fail and name the flag that answers'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'msctl;logs'= {
            cand -e 'Environment of msctl.yaml, of the user config, or a kubeconfig context'
            cand --env 'Environment of msctl.yaml, of the user config, or a kubeconfig context'
            cand -n 'Kubernetes namespace'
            cand --namespace 'Kubernetes namespace'
            cand --context 'Kubeconfig context'
            cand --kubeconfig 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config'
            cand -C 'Work as if started in this folder'
            cand --directory 'Work as if started in this folder'
            cand -o 'Format of the answer'
            cand --output 'Format of the answer'
            cand --color 'When to use colours'
            cand -y 'Agree to every question; `--yes=ENV` also to a protected environment'
            cand --yes 'Agree to every question; `--yes=ENV` also to a protected environment'
            cand --tail 'Lines from the end of each pod''s log'
            cand --since 'Only what is younger, such as 10m'
            cand --slot 'Only this slot: blue or green'
            cand -v 'Say more; twice and thrice for more still'
            cand --verbose 'Say more; twice and thrice for more still'
            cand -q 'Say nothing but the answer and errors'
            cand --quiet 'Say nothing but the answer and errors'
            cand --no-input 'Never prompt: fail and name the flag that answers'
            cand -f 'Go on printing'
            cand --follow 'Go on printing'
            cand --driver 'The log of the driver in the cluster (`deploy --detach`)'
            cand --previous 'The log of the container''s previous run'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'msctl;scale'= {
            cand -e 'Environment of msctl.yaml, of the user config, or a kubeconfig context'
            cand --env 'Environment of msctl.yaml, of the user config, or a kubeconfig context'
            cand -n 'Kubernetes namespace'
            cand --namespace 'Kubernetes namespace'
            cand --context 'Kubeconfig context'
            cand --kubeconfig 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config'
            cand -C 'Work as if started in this folder'
            cand --directory 'Work as if started in this folder'
            cand -o 'Format of the answer'
            cand --output 'Format of the answer'
            cand --color 'When to use colours'
            cand -y 'Agree to every question; `--yes=ENV` also to a protected environment'
            cand --yes 'Agree to every question; `--yes=ENV` also to a protected environment'
            cand -v 'Say more; twice and thrice for more still'
            cand --verbose 'Say more; twice and thrice for more still'
            cand -q 'Say nothing but the answer and errors'
            cand --quiet 'Say nothing but the answer and errors'
            cand --no-input 'Never prompt: fail and name the flag that answers'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'msctl;migrate'= {
            cand -e 'Environment of msctl.yaml, of the user config, or a kubeconfig context'
            cand --env 'Environment of msctl.yaml, of the user config, or a kubeconfig context'
            cand -n 'Kubernetes namespace'
            cand --namespace 'Kubernetes namespace'
            cand --context 'Kubeconfig context'
            cand --kubeconfig 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config'
            cand -C 'Work as if started in this folder'
            cand --directory 'Work as if started in this folder'
            cand -o 'Format of the answer'
            cand --output 'Format of the answer'
            cand --color 'When to use colours'
            cand -y 'Agree to every question; `--yes=ENV` also to a protected environment'
            cand --yes 'Agree to every question; `--yes=ENV` also to a protected environment'
            cand -v 'Say more; twice and thrice for more still'
            cand --verbose 'Say more; twice and thrice for more still'
            cand -q 'Say nothing but the answer and errors'
            cand --quiet 'Say nothing but the answer and errors'
            cand --no-input 'Never prompt: fail and name the flag that answers'
            cand -h 'Print help'
            cand --help 'Print help'
            cand contract 'Take away what only revisions before the live one need: none of them can come back'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'msctl;migrate;contract'= {
            cand -e 'Environment of msctl.yaml, of the user config, or a kubeconfig context'
            cand --env 'Environment of msctl.yaml, of the user config, or a kubeconfig context'
            cand -n 'Kubernetes namespace'
            cand --namespace 'Kubernetes namespace'
            cand --context 'Kubeconfig context'
            cand --kubeconfig 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config'
            cand -C 'Work as if started in this folder'
            cand --directory 'Work as if started in this folder'
            cand -o 'Format of the answer'
            cand --output 'Format of the answer'
            cand --color 'When to use colours'
            cand -y 'Agree to every question; `--yes=ENV` also to a protected environment'
            cand --yes 'Agree to every question; `--yes=ENV` also to a protected environment'
            cand -v 'Say more; twice and thrice for more still'
            cand --verbose 'Say more; twice and thrice for more still'
            cand -q 'Say nothing but the answer and errors'
            cand --quiet 'Say nothing but the answer and errors'
            cand --no-input 'Never prompt: fail and name the flag that answers'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'msctl;migrate;help'= {
            cand contract 'Take away what only revisions before the live one need: none of them can come back'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'msctl;migrate;help;contract'= {
        }
        &'msctl;migrate;help;help'= {
        }
        &'msctl;delete'= {
            cand -e 'Environment of msctl.yaml, of the user config, or a kubeconfig context'
            cand --env 'Environment of msctl.yaml, of the user config, or a kubeconfig context'
            cand -n 'Kubernetes namespace'
            cand --namespace 'Kubernetes namespace'
            cand --context 'Kubeconfig context'
            cand --kubeconfig 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config'
            cand -C 'Work as if started in this folder'
            cand --directory 'Work as if started in this folder'
            cand -o 'Format of the answer'
            cand --output 'Format of the answer'
            cand --color 'When to use colours'
            cand -y 'Agree to every question; `--yes=ENV` also to a protected environment'
            cand --yes 'Agree to every question; `--yes=ENV` also to a protected environment'
            cand -v 'Say more; twice and thrice for more still'
            cand --verbose 'Say more; twice and thrice for more still'
            cand -q 'Say nothing but the answer and errors'
            cand --quiet 'Say nothing but the answer and errors'
            cand --no-input 'Never prompt: fail and name the flag that answers'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'msctl;local'= {
            cand -e 'Environment of msctl.yaml, of the user config, or a kubeconfig context'
            cand --env 'Environment of msctl.yaml, of the user config, or a kubeconfig context'
            cand -n 'Kubernetes namespace'
            cand --namespace 'Kubernetes namespace'
            cand --context 'Kubeconfig context'
            cand --kubeconfig 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config'
            cand -C 'Work as if started in this folder'
            cand --directory 'Work as if started in this folder'
            cand -o 'Format of the answer'
            cand --output 'Format of the answer'
            cand --color 'When to use colours'
            cand -y 'Agree to every question; `--yes=ENV` also to a protected environment'
            cand --yes 'Agree to every question; `--yes=ENV` also to a protected environment'
            cand -v 'Say more; twice and thrice for more still'
            cand --verbose 'Say more; twice and thrice for more still'
            cand -q 'Say nothing but the answer and errors'
            cand --quiet 'Say nothing but the answer and errors'
            cand --no-input 'Never prompt: fail and name the flag that answers'
            cand -h 'Print help'
            cand --help 'Print help'
            cand status 'Show the agent and the services it runs'
            cand down 'Stop every local service and the agent, and leave nothing behind'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'msctl;local;status'= {
            cand -e 'Environment of msctl.yaml, of the user config, or a kubeconfig context'
            cand --env 'Environment of msctl.yaml, of the user config, or a kubeconfig context'
            cand -n 'Kubernetes namespace'
            cand --namespace 'Kubernetes namespace'
            cand --context 'Kubeconfig context'
            cand --kubeconfig 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config'
            cand -C 'Work as if started in this folder'
            cand --directory 'Work as if started in this folder'
            cand -o 'Format of the answer'
            cand --output 'Format of the answer'
            cand --color 'When to use colours'
            cand -y 'Agree to every question; `--yes=ENV` also to a protected environment'
            cand --yes 'Agree to every question; `--yes=ENV` also to a protected environment'
            cand -v 'Say more; twice and thrice for more still'
            cand --verbose 'Say more; twice and thrice for more still'
            cand -q 'Say nothing but the answer and errors'
            cand --quiet 'Say nothing but the answer and errors'
            cand --no-input 'Never prompt: fail and name the flag that answers'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'msctl;local;down'= {
            cand -e 'Environment of msctl.yaml, of the user config, or a kubeconfig context'
            cand --env 'Environment of msctl.yaml, of the user config, or a kubeconfig context'
            cand -n 'Kubernetes namespace'
            cand --namespace 'Kubernetes namespace'
            cand --context 'Kubeconfig context'
            cand --kubeconfig 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config'
            cand -C 'Work as if started in this folder'
            cand --directory 'Work as if started in this folder'
            cand -o 'Format of the answer'
            cand --output 'Format of the answer'
            cand --color 'When to use colours'
            cand -y 'Agree to every question; `--yes=ENV` also to a protected environment'
            cand --yes 'Agree to every question; `--yes=ENV` also to a protected environment'
            cand -v 'Say more; twice and thrice for more still'
            cand --verbose 'Say more; twice and thrice for more still'
            cand -q 'Say nothing but the answer and errors'
            cand --quiet 'Say nothing but the answer and errors'
            cand --no-input 'Never prompt: fail and name the flag that answers'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'msctl;local;help'= {
            cand status 'Show the agent and the services it runs'
            cand down 'Stop every local service and the agent, and leave nothing behind'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'msctl;local;help;status'= {
        }
        &'msctl;local;help;down'= {
        }
        &'msctl;local;help;help'= {
        }
        &'msctl;adopt'= {
            cand -e 'Environment of msctl.yaml, of the user config, or a kubeconfig context'
            cand --env 'Environment of msctl.yaml, of the user config, or a kubeconfig context'
            cand -n 'Kubernetes namespace'
            cand --namespace 'Kubernetes namespace'
            cand --context 'Kubeconfig context'
            cand --kubeconfig 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config'
            cand -C 'Work as if started in this folder'
            cand --directory 'Work as if started in this folder'
            cand -o 'Format of the answer'
            cand --output 'Format of the answer'
            cand --color 'When to use colours'
            cand -y 'Agree to every question; `--yes=ENV` also to a protected environment'
            cand --yes 'Agree to every question; `--yes=ENV` also to a protected environment'
            cand --service 'Service of the workspace that it becomes'
            cand -v 'Say more; twice and thrice for more still'
            cand --verbose 'Say more; twice and thrice for more still'
            cand -q 'Say nothing but the answer and errors'
            cand --quiet 'Say nothing but the answer and errors'
            cand --no-input 'Never prompt: fail and name the flag that answers'
            cand --plan 'Say what matches its pods and what it would mean, write nothing'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'msctl;demo'= {
            cand -e 'Environment of msctl.yaml, of the user config, or a kubeconfig context'
            cand --env 'Environment of msctl.yaml, of the user config, or a kubeconfig context'
            cand -n 'Kubernetes namespace'
            cand --namespace 'Kubernetes namespace'
            cand --context 'Kubeconfig context'
            cand --kubeconfig 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config'
            cand -C 'Work as if started in this folder'
            cand --directory 'Work as if started in this folder'
            cand -o 'Format of the answer'
            cand --output 'Format of the answer'
            cand --color 'When to use colours'
            cand -y 'Agree to every question; `--yes=ENV` also to a protected environment'
            cand --yes 'Agree to every question; `--yes=ENV` also to a protected environment'
            cand -t 'Template to tour with; the first whose toolchain is present otherwise'
            cand --template 'Template to tour with; the first whose toolchain is present otherwise'
            cand -v 'Say more; twice and thrice for more still'
            cand --verbose 'Say more; twice and thrice for more still'
            cand -q 'Say nothing but the answer and errors'
            cand --quiet 'Say nothing but the answer and errors'
            cand --no-input 'Never prompt: fail and name the flag that answers'
            cand --keep 'Leave the demo service running and its folder in place'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'msctl;doctor'= {
            cand -e 'Environment of msctl.yaml, of the user config, or a kubeconfig context'
            cand --env 'Environment of msctl.yaml, of the user config, or a kubeconfig context'
            cand -n 'Kubernetes namespace'
            cand --namespace 'Kubernetes namespace'
            cand --context 'Kubeconfig context'
            cand --kubeconfig 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config'
            cand -C 'Work as if started in this folder'
            cand --directory 'Work as if started in this folder'
            cand -o 'Format of the answer'
            cand --output 'Format of the answer'
            cand --color 'When to use colours'
            cand -y 'Agree to every question; `--yes=ENV` also to a protected environment'
            cand --yes 'Agree to every question; `--yes=ENV` also to a protected environment'
            cand -v 'Say more; twice and thrice for more still'
            cand --verbose 'Say more; twice and thrice for more still'
            cand -q 'Say nothing but the answer and errors'
            cand --quiet 'Say nothing but the answer and errors'
            cand --no-input 'Never prompt: fail and name the flag that answers'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'msctl;config'= {
            cand -e 'Environment of msctl.yaml, of the user config, or a kubeconfig context'
            cand --env 'Environment of msctl.yaml, of the user config, or a kubeconfig context'
            cand -n 'Kubernetes namespace'
            cand --namespace 'Kubernetes namespace'
            cand --context 'Kubeconfig context'
            cand --kubeconfig 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config'
            cand -C 'Work as if started in this folder'
            cand --directory 'Work as if started in this folder'
            cand -o 'Format of the answer'
            cand --output 'Format of the answer'
            cand --color 'When to use colours'
            cand -y 'Agree to every question; `--yes=ENV` also to a protected environment'
            cand --yes 'Agree to every question; `--yes=ENV` also to a protected environment'
            cand -v 'Say more; twice and thrice for more still'
            cand --verbose 'Say more; twice and thrice for more still'
            cand -q 'Say nothing but the answer and errors'
            cand --quiet 'Say nothing but the answer and errors'
            cand --no-input 'Never prompt: fail and name the flag that answers'
            cand -h 'Print help'
            cand --help 'Print help'
            cand show 'Print the resolved configuration'
            cand schema 'Print the JSON Schema of msctl.yaml'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'msctl;config;show'= {
            cand -e 'Environment of msctl.yaml, of the user config, or a kubeconfig context'
            cand --env 'Environment of msctl.yaml, of the user config, or a kubeconfig context'
            cand -n 'Kubernetes namespace'
            cand --namespace 'Kubernetes namespace'
            cand --context 'Kubeconfig context'
            cand --kubeconfig 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config'
            cand -C 'Work as if started in this folder'
            cand --directory 'Work as if started in this folder'
            cand -o 'Format of the answer'
            cand --output 'Format of the answer'
            cand --color 'When to use colours'
            cand -y 'Agree to every question; `--yes=ENV` also to a protected environment'
            cand --yes 'Agree to every question; `--yes=ENV` also to a protected environment'
            cand -v 'Say more; twice and thrice for more still'
            cand --verbose 'Say more; twice and thrice for more still'
            cand -q 'Say nothing but the answer and errors'
            cand --quiet 'Say nothing but the answer and errors'
            cand --no-input 'Never prompt: fail and name the flag that answers'
            cand --origin 'Name where each value came from'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'msctl;config;schema'= {
            cand -e 'Environment of msctl.yaml, of the user config, or a kubeconfig context'
            cand --env 'Environment of msctl.yaml, of the user config, or a kubeconfig context'
            cand -n 'Kubernetes namespace'
            cand --namespace 'Kubernetes namespace'
            cand --context 'Kubeconfig context'
            cand --kubeconfig 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config'
            cand -C 'Work as if started in this folder'
            cand --directory 'Work as if started in this folder'
            cand -o 'Format of the answer'
            cand --output 'Format of the answer'
            cand --color 'When to use colours'
            cand -y 'Agree to every question; `--yes=ENV` also to a protected environment'
            cand --yes 'Agree to every question; `--yes=ENV` also to a protected environment'
            cand -v 'Say more; twice and thrice for more still'
            cand --verbose 'Say more; twice and thrice for more still'
            cand -q 'Say nothing but the answer and errors'
            cand --quiet 'Say nothing but the answer and errors'
            cand --no-input 'Never prompt: fail and name the flag that answers'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'msctl;config;help'= {
            cand show 'Print the resolved configuration'
            cand schema 'Print the JSON Schema of msctl.yaml'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'msctl;config;help;show'= {
        }
        &'msctl;config;help;schema'= {
        }
        &'msctl;config;help;help'= {
        }
        &'msctl;completions'= {
            cand -e 'Environment of msctl.yaml, of the user config, or a kubeconfig context'
            cand --env 'Environment of msctl.yaml, of the user config, or a kubeconfig context'
            cand -n 'Kubernetes namespace'
            cand --namespace 'Kubernetes namespace'
            cand --context 'Kubeconfig context'
            cand --kubeconfig 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config'
            cand -C 'Work as if started in this folder'
            cand --directory 'Work as if started in this folder'
            cand -o 'Format of the answer'
            cand --output 'Format of the answer'
            cand --color 'When to use colours'
            cand -y 'Agree to every question; `--yes=ENV` also to a protected environment'
            cand --yes 'Agree to every question; `--yes=ENV` also to a protected environment'
            cand -v 'Say more; twice and thrice for more still'
            cand --verbose 'Say more; twice and thrice for more still'
            cand -q 'Say nothing but the answer and errors'
            cand --quiet 'Say nothing but the answer and errors'
            cand --no-input 'Never prompt: fail and name the flag that answers'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'msctl;man'= {
            cand -e 'Environment of msctl.yaml, of the user config, or a kubeconfig context'
            cand --env 'Environment of msctl.yaml, of the user config, or a kubeconfig context'
            cand -n 'Kubernetes namespace'
            cand --namespace 'Kubernetes namespace'
            cand --context 'Kubeconfig context'
            cand --kubeconfig 'Kubeconfig file, in place of KUBECONFIG and ~/.kube/config'
            cand -C 'Work as if started in this folder'
            cand --directory 'Work as if started in this folder'
            cand -o 'Format of the answer'
            cand --output 'Format of the answer'
            cand --color 'When to use colours'
            cand -y 'Agree to every question; `--yes=ENV` also to a protected environment'
            cand --yes 'Agree to every question; `--yes=ENV` also to a protected environment'
            cand -v 'Say more; twice and thrice for more still'
            cand --verbose 'Say more; twice and thrice for more still'
            cand -q 'Say nothing but the answer and errors'
            cand --quiet 'Say nothing but the answer and errors'
            cand --no-input 'Never prompt: fail and name the flag that answers'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'msctl;help'= {
            cand new 'Create a service from a template'
            cand template 'Look at the templates a service can be created from'
            cand build 'Build the service''s image, and push it'
            cand deploy 'Ship the service: build what changed, apply, roll out, wait'
            cand diff 'Show what a deploy would change; exit 1 when there are differences'
            cand rollout 'Steer and follow a rollout'
            cand status 'Show how the service is'
            cand logs 'Print the pods'' logs'
            cand scale 'Set the number of replicas until the next deploy'
            cand migrate 'Migrate the service''s database beside a deploy'
            cand delete 'Remove the service and everything msctl made for it'
            cand local 'The local platform: processes behind a weighted proxy'
            cand adopt 'Take an existing Deployment over as the live version, with no restart'
            cand demo 'A guided tour: create, run, canary, and a bad release refused'
            cand doctor 'Check what msctl needs on this machine'
            cand config 'Look at the configuration'
            cand completions 'Print the completion script of a shell'
            cand man 'Write the man pages into a folder'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'msctl;help;new'= {
        }
        &'msctl;help;template'= {
            cand list 'List the embedded templates'
            cand show 'Show a template''s questions and files'
            cand lint 'Check a template for mistakes'
            cand schema 'Print the JSON Schema of template.yaml'
        }
        &'msctl;help;template;list'= {
        }
        &'msctl;help;template;show'= {
        }
        &'msctl;help;template;lint'= {
        }
        &'msctl;help;template;schema'= {
        }
        &'msctl;help;build'= {
        }
        &'msctl;help;deploy'= {
        }
        &'msctl;help;diff'= {
        }
        &'msctl;help;rollout'= {
            cand status 'Show the rollout''s state'
            cand watch 'Follow the rollout until it ends or waits'
            cand promote 'End the pause, or skip a step; `--full` skips all steps and analysis'
            cand pause 'Hold the rollout where it is'
            cand resume 'Go on after `pause`'
            cand abort 'Take the traffic back from the candidate'
            cand retry 'Start an aborted rollout again'
            cand undo 'Return to the last revision that was live, or to `--to N`'
            cand history 'List the deploys and their revisions'
            cand judge 'Judge past deploys again, by other thresholds'
            cand report 'Write a deploy''s report: one HTML file that needs nothing else'
            cand restart 'Replace the live pods one by one, with the same version'
            cand attach 'Drive a rollout whose driver is gone'
            cand rbac 'Print the account and rights that a driver in the cluster needs, for `kubectl apply -f -`'
        }
        &'msctl;help;rollout;status'= {
        }
        &'msctl;help;rollout;watch'= {
        }
        &'msctl;help;rollout;promote'= {
        }
        &'msctl;help;rollout;pause'= {
        }
        &'msctl;help;rollout;resume'= {
        }
        &'msctl;help;rollout;abort'= {
        }
        &'msctl;help;rollout;retry'= {
        }
        &'msctl;help;rollout;undo'= {
        }
        &'msctl;help;rollout;history'= {
        }
        &'msctl;help;rollout;judge'= {
        }
        &'msctl;help;rollout;report'= {
        }
        &'msctl;help;rollout;restart'= {
        }
        &'msctl;help;rollout;attach'= {
        }
        &'msctl;help;rollout;rbac'= {
        }
        &'msctl;help;status'= {
        }
        &'msctl;help;logs'= {
        }
        &'msctl;help;scale'= {
        }
        &'msctl;help;migrate'= {
            cand contract 'Take away what only revisions before the live one need: none of them can come back'
        }
        &'msctl;help;migrate;contract'= {
        }
        &'msctl;help;delete'= {
        }
        &'msctl;help;local'= {
            cand status 'Show the agent and the services it runs'
            cand down 'Stop every local service and the agent, and leave nothing behind'
        }
        &'msctl;help;local;status'= {
        }
        &'msctl;help;local;down'= {
        }
        &'msctl;help;adopt'= {
        }
        &'msctl;help;demo'= {
        }
        &'msctl;help;doctor'= {
        }
        &'msctl;help;config'= {
            cand show 'Print the resolved configuration'
            cand schema 'Print the JSON Schema of msctl.yaml'
        }
        &'msctl;help;config;show'= {
        }
        &'msctl;help;config;schema'= {
        }
        &'msctl;help;completions'= {
        }
        &'msctl;help;man'= {
        }
        &'msctl;help;help'= {
        }
    ]
    $completions[$command]
}
