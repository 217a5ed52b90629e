export class Storage {
  private readonly azureStorageKey: string = '{{azure_storage_key}}';
}
