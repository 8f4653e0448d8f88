// Runs the scheduled job every hour as a Container Apps job with a user-assigned identity.
// packaging/README.md says which values to give.

@description('Name of the job.')
param name string = 'flowgap'

@description('Region of the job.')
param location string = resourceGroup().location

@description('Name of the Container Apps environment, in this resource group.')
param environmentName string

@description('Name of the user-assigned identity, in this resource group. It pulls the image, reads the logs and writes the state.')
param identityName string

@description('Server of the container registry that has the image.')
param registry string

@description('Image below the registry.')
param image string = 'flowgap:0.1.0'

@description('When the job runs, in UTC.')
param schedule string = '17 * * * *'

@secure()
@description('Address of the Teams workflow, which flowgap.toml names as env:TEAMS_URL.')
param teamsUrl string

resource environment 'Microsoft.App/managedEnvironments@2024-03-01' existing = {
  name: environmentName
}

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' existing = {
  name: identityName
}

resource job 'Microsoft.App/jobs@2024-03-01' = {
  name: name
  location: location
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${identity.id}': {}
    }
  }
  properties: {
    environmentId: environment.id
    configuration: {
      triggerType: 'Schedule'
      scheduleTriggerConfig: {
        cronExpression: schedule
        parallelism: 1
        replicaCompletionCount: 1
      }
      replicaTimeout: 3000
      // The next run takes up what this one left. Exit status 1 means findings, and marks the execution as failed.
      replicaRetryLimit: 0
      registries: [
        {
          server: registry
          identity: identity.id
        }
      ]
      secrets: [
        {
          name: 'config'
          value: loadTextContent('flowgap.toml')
        }
        {
          name: 'teams-url'
          value: teamsUrl
        }
      ]
    }
    template: {
      containers: [
        {
          name: 'flowgap'
          image: '${registry}/${image}'
          args: [
            'run'
            '--config'
            '/etc/flowgap/flowgap.toml'
          ]
          env: [
            {
              // Chooses among the identities of the job.
              name: 'AZURE_CLIENT_ID'
              value: identity.properties.clientId
            }
            {
              name: 'TEAMS_URL'
              secretRef: 'teams-url'
            }
          ]
          resources: {
            cpu: json('1.0')
            memory: '2Gi'
          }
          volumeMounts: [
            {
              volumeName: 'config'
              mountPath: '/etc/flowgap'
            }
          ]
        }
      ]
      volumes: [
        {
          name: 'config'
          storageType: 'Secret'
          secrets: [
            {
              secretRef: 'config'
              path: 'flowgap.toml'
            }
          ]
        }
      ]
    }
  }
}

@description('Resource id of the job.')
output jobId string = job.id
