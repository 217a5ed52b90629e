class FilesController < ApplicationController
  def show
    send_file Rails.root.join('storage', File.basename(params[:name]))
  end
end
